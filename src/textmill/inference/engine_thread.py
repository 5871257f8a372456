"""The engine for an event loop and its many users: it ticks in a thread of its own, and what is new of an answer is handed
to the loop that waits for it."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic

from ..errors import GenerationError
from .engine import EngineFull
from .ticking import Asked, New, Open, Ticking

MOST_UNREAD = 10_000  # deltas of an answer that may lie unfetched

Tell = Callable[[Any], None]  # a delta, or the error that ended the answer


class EngineStopped(GenerationError):
    """The engine doesn't answer any more, by whatever cause; that isn't the request's fault."""


class TooSlow(GenerationError):
    """Who asked doesn't fetch what is written for him."""


class EngineThread(Generic[Asked, New]):
    """One engine, of whatever kind, and its thread. Nobody else may touch the engine."""

    def __init__(self, engine: Ticking[Asked, New]):
        self._engine = engine
        self.context = engine.context  # in tokens; see there
        self._asked: deque[tuple[Asked, Tell]] = deque()
        self._unwanted: deque[Tell] = deque()
        self._open: dict[Tell, Open[New]] = {}
        self._news: list[tuple[asyncio.AbstractEventLoop, Tell, New | Exception]] = []  # of the engine's thread alone
        self._wake, self._closed = threading.Event(), False
        self._moved = time.monotonic()
        self._busy = False
        self._last_end, self._pace = time.monotonic(), 1.0  # when an answer last ended, and the seconds between two of them
        self._queue = engine.queue
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    async def stream(self, request: Asked) -> AsyncGenerator[New, None]:
        """What is new of the answer, as it comes; closing the iterator cancels it. Raises GenerationError for a request that
        can't be served, EngineFull where too many are waiting."""
        loop, news = asyncio.get_running_loop(), asyncio.Queue[New | Exception]()

        def arrive(new: New | Exception) -> None:
            if news.qsize() < MOST_UNREAD:
                news.put_nowait(new)
            elif news.qsize() == MOST_UNREAD:
                news.put_nowait(TooSlow(f"{MOST_UNREAD:,} pieces of the answer weren't fetched, so the rest isn't written"))
                self._unwanted.append(tell)
                self._wake.set()

        def tell(new: New | Exception) -> None:
            self._news.append((loop, arrive, new))

        if self._closed or not self._thread.is_alive():
            raise EngineStopped("the engine has stopped")
        if len(self._asked) >= self._queue:
            raise self._timed(EngineFull(f"{len(self._asked)} requests are waiting already, as many as may; ask again later"))
        self._asked.append((request, tell))
        self._wake.set()
        if self._closed:  # it may have told all who were waiting just before this one came
            raise EngineStopped("the engine has stopped")
        try:
            while True:
                new = await news.get()
                if isinstance(new, Exception):
                    raise new
                yield new
                if new.last:
                    return
        finally:
            self._unwanted.append(tell)
            self._wake.set()

    @property
    def most_of_one(self) -> int:
        """How many answers to one request may be in the engine at once: half of those that may wait are left to others."""
        return max(self._queue // 2, 1)

    def alive(self, within_seconds: float) -> bool:
        """Whether the engine has moved within so many seconds, or has nothing to do."""
        return self._thread.is_alive() and (not self._busy or time.monotonic() - self._moved <= within_seconds)

    @property
    def open_answers(self) -> int:
        """How many answers are waiting or being written."""
        return len(self._open) + len(self._asked)

    @property
    def waiting_answers(self) -> int:
        """How many answers wait for their turn."""
        return self._engine.waiting_answers + len(self._asked)

    @property
    def rows_in_use(self) -> int:
        """How many rows answers have."""
        return self._engine.rows - self._engine.free_rows

    @property
    def cache_bytes(self) -> int:
        """What is remembered of prompts."""
        return self._engine.cache_bytes

    def rows(self) -> dict[str, int]:
        """How many rows the engine has, how many of them no answer has, and how many answers are open."""
        return {"all": self._engine.rows, "free": self._engine.free_rows, "open": self.open_answers}

    def close(self) -> None:
        """Stop; answers that are open end with an error."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        problem: Exception = EngineStopped("the engine was stopped before the answer was complete")
        try:
            while not self._closed:
                self._busy, self._moved = True, time.monotonic()
                self._take_messages()
                moved = self._engine.tick()
                self._hand_out()
                self._deliver()
                if not moved and not self._asked and not self._unwanted:
                    self._busy = False
                    self._wake.wait()
                    self._wake.clear()
        except Exception as error:  # every open answer has to hear of it, whatever it was
            problem = EngineStopped(f"the engine broke down: {type(error).__name__}: {error}")
            raise
        finally:
            self._closed = True
            for tell in [*self._open, *(tell for _, tell in self._asked)]:
                tell(problem)
            self._deliver()

    def _deliver(self) -> None:
        """Wake each event loop once for all that is new in it: a call from another thread costs it more than what it brings."""
        news, self._news = self._news, []
        for loop in {loop for loop, _, _ in news}:
            own = [(arrive, new) for other, arrive, new in news if other is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(_arrive, own)

    def _timed(self, error: EngineFull) -> EngineFull:
        """The error, with the time after which an answer will probably have ended: what lay between the last ones."""
        error.retry_seconds = min(max(self._pace, 0.05), 60.0)
        return error

    def _take_messages(self) -> None:
        while self._asked:
            request, tell = self._asked.popleft()
            try:
                self._open[tell] = self._engine.submit(request)
            except EngineFull as error:
                tell(self._timed(error))
            except Exception as error:  # of this request, and of no other
                tell(error)
        while self._unwanted:
            answer = self._open.pop(self._unwanted.popleft(), None)
            if answer is not None:
                self._engine.cancel(answer)

    def _hand_out(self) -> None:
        for tell, answer in self._open.items():
            while answer.deltas:
                delta = answer.deltas.popleft()
                tell(delta)
                if delta.last:
                    now = time.monotonic()
                    self._pace += 0.3 * (now - self._last_end - self._pace)
                    self._last_end = now
            if answer.error is not None:
                tell(answer.error)
                answer.error = None


def _arrive(news: list[tuple[Tell, Any]]) -> None:
    for arrive, new in news:
        arrive(new)
