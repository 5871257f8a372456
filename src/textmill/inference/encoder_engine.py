"""One engine for every model that reads whole texts and doesn't write: texts of all requests pass through it together.

The requests take turns, a text each, until a tick has as many tokens as keep it short; so a request with one text passes by
one with thousands. Nothing is kept between two ticks but what was asked: whoever leaves, frees all that he had.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import GenerationError
from ..models.language_model import LanguageModel
from .engine import QUEUE, ROWS, EngineFull
from .reading import PASS_TOKENS, Reading, Wanted, problems_of, read


@dataclass(frozen=True)
class Readings:
    """Whole texts, as their tokens, and what is wanted of each of them."""

    inputs: Sequence[Sequence[int]]
    wanted: Wanted


@dataclass(frozen=True)
class Found:
    """What came of some of a request's texts, by their places; `last`: nothing more comes."""

    results: dict[int, Any]
    last: bool


class ReadingAnswer:
    """One request's life in the engine. `deltas` holds what is new of it; after the last, or an `error`, nothing more comes."""

    def __init__(self, request: Readings):
        self.request = request
        # The longest first: texts that are read in one tick are then of like lengths.
        self.unread = deque(sorted(range(len(request.inputs)), key=lambda place: -len(request.inputs[place])))
        self.deltas: deque[Found] = deque()
        self.error: Exception | None = None
        self.finished = False


class EncoderEngine:
    """As many requests as `rows` and `queue` together, of one model. Of one thread; see engine_thread.py for many users.

    A request with texts to be read has a row; those beyond the rows are told as waiting, and take turns like the others, since
    a row takes no memory here. `context`: what a text may have in tokens; None where there is no limit.
    """

    cache_bytes = 0  # nothing is remembered of texts

    def __init__(self, model: LanguageModel, rows: int = ROWS, queue: int = QUEUE):
        if rows < 1 or queue < 1:
            raise GenerationError(f"an engine has at least one row and one place in its queue, found {rows} and {queue}")
        self.model, self.rows, self.queue = model, rows, queue
        self.context = model.context_limit
        self._turns: deque[ReadingAnswer] = deque()  # the first one's turn comes next

    def submit(self, request: Readings) -> ReadingAnswer:
        """Let a request wait for its turn. Raises GenerationError where it can't be served, EngineFull where it can't wait."""
        if not request.inputs:
            raise GenerationError("there are no texts to be read; give at least one")
        if problems := list(problems_of(self.model, request.inputs, request.wanted)):
            raise GenerationError(*problems)
        if len(self._turns) >= self.rows + self.queue:
            raise EngineFull(f"{self.waiting_answers} requests are waiting already, as many as may; ask again later")
        answer = ReadingAnswer(request)
        self._turns.append(answer)
        return answer

    def cancel(self, answer: ReadingAnswer) -> None:
        """Stop an answer. One that has ended stays as it is."""
        if not answer.finished:
            self._end(answer)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._turns

    @property
    def waiting_answers(self) -> int:
        """How many requests there are beyond the rows."""
        return max(len(self._turns) - self.rows, 0)

    @property
    def free_rows(self) -> int:
        """Rows that no request has."""
        return max(self.rows - len(self._turns), 0)

    def tick(self) -> bool:
        """Read a text of each request, and more of each as long as they are few tokens. False: nothing to do."""
        if self.idle:
            return False
        taken = self._take()
        readings = [Reading(answer.request.inputs[place], answer.request.wanted) for answer, place in taken]
        results: dict[ReadingAnswer, dict[int, Any]] = {}
        for (answer, place), result in zip(taken, read(self.model, readings), strict=True):
            results.setdefault(answer, {})[place] = result
        for answer, new in results.items():
            answer.error = next((result for result in new.values() if isinstance(result, Exception)), None)
            if answer.error is None:
                answer.deltas.append(Found(new, last=not answer.unread))
            if answer.error is not None or not answer.unread:
                self._end(answer)
        return True

    def _take(self) -> list[tuple[ReadingAnswer, int]]:
        """The texts of this tick: as the turns go, as many as have `PASS_TOKENS`, and at least one. Who has none left, takes no
        more turns."""
        taken: list[tuple[ReadingAnswer, int]] = []
        tokens, turns = 0, deque(self._turns)
        while turns:
            answer = turns[0]
            tokens += len(answer.request.inputs[answer.unread[0]])
            if taken and tokens > PASS_TOKENS:
                break
            taken.append((answer, answer.unread.popleft()))
            turns.popleft()
            if answer.unread:
                turns.append(answer)
        ended = [answer for answer, _ in taken if not answer.unread]
        self._turns = deque([*turns, *dict.fromkeys(ended)])
        return taken

    def _end(self, answer: ReadingAnswer) -> None:
        answer.finished = True
        answer.unread.clear()
        self._turns.remove(answer)
