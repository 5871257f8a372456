"""Batches of documents cleaned on all cores, given back in the order they came in.

Each worker is a process that one thread of ours talks to, a batch at a time. Only as many batches are on their way as
keep the workers busy, so memory is bounded; whatever ends this process ends the workers too.
"""

import pickle
import subprocess
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ..errors import CorpusError
from ..processes import end_worker, start_worker
from .cleaning import Cleaned, Cleaner, name_of_document
from .document import Found
from .quality import QualityMeasure
from .settings import CorpusSettings

MOST_WORKERS = 6
"""Beyond, one process can't read a dump as fast as they clean it, and all together would need more than 500 MB."""

BATCHES_PER_WORKER = 2  # one at work, one ready: more only takes memory


@dataclass(frozen=True)
class Batch:
    """Some documents in the order of their source, and the place right behind them."""

    found: list[Found]
    file: int  # the number of the last one's file
    taken: int  # how many of that file's documents lie before that place
    ends_block: bool


def clean_in_order(
    batches: Iterable[Batch], settings: CorpusSettings, workers: int, measure: QualityMeasure | None = None
) -> Generator[tuple[Batch, list[Cleaned]], None, None]:
    """Each batch with what became of its documents. The results don't depend on the number of `workers`.

    Raises CorpusError where a worker is killed, and RuntimeError, with the worker's stack trace, where one fails.
    """
    if workers == 1:
        clean = Cleaner(settings, measure)
        for batch in batches:
            yield batch, clean(batch.found)
        return
    waiting: deque[tuple[Batch, Future[list[Cleaned]]]] = deque()
    with _Workers(workers, settings, measure) as pool:
        for batch in batches:
            waiting.append((batch, pool.submit(batch.found)))
            while waiting and (waiting[0][1].done() or len(waiting) >= BATCHES_PER_WORKER * workers):
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()


class _Workers:
    """The threads, each with its process, started when there is work for it."""

    def __init__(self, count: int, *cleaner: Any):
        self._cleaner = cleaner  # what each process makes its Cleaner of
        self._mine = threading.local()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(count, "textmill-corpus")

    def submit(self, found: list[Found]) -> Future[list[Cleaned]]:
        return self._threads.submit(self._clean, found)

    def _clean(self, found: list[Found]) -> list[Cleaned]:
        """In a thread: hand `found` to this thread's process, and wait for the answer."""
        process = getattr(self._mine, "process", None) or self._start()
        assert process.stdin and process.stdout
        try:
            pickle.dump(found, process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            cleaned, failure = pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise _ended(_exit_code(process), found) from error
        if failure:
            raise RuntimeError(f"a fault of textmill's own, in a process that cleans documents:\n{failure}")
        return cleaned

    def _start(self) -> subprocess.Popen[bytes]:
        process = start_worker(f"{__package__}.worker")
        assert process.stdin
        self._processes.append(process)
        self._mine.process = process
        pickle.dump(self._cleaner, process.stdin)
        return process

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End every process at once; the threads that waited for one find its end and stop."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._threads.shutdown()
        for process in self._processes:
            end_worker(process)


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that gave no answer."""
    try:
        return process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _ended(code: int, found: list[Found]) -> CorpusError:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return CorpusError(
        f"a process that cleans documents was ended from outside ({how}; signal 9 mostly means that memory ran out) "
        f"somewhere between {name_of_document(found[0])} and {name_of_document(found[-1])}; close other programs, and run "
        "again: it goes on after the last finished block"
    )
