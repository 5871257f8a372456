"""The next batch, made by another thread while the step at hand is computed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

from ..tokens.loader import Batch, Loader


@contextmanager
def prefetched(loader: Loader, first: int) -> Iterator[Iterator[Batch]]:
    """Gives the loader's batches from `first` on, in their order, always one of them ahead.

    Which batch is which doesn't depend on the thread: batch k is a function of k. What making a batch raises is raised where
    that batch is asked for. At the context's end the thread has ended.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-batch") as thread:

        def batches() -> Iterator[Batch]:
            ahead = thread.submit(loader.batch, first)
            for step in count(first + 1):
                batch = ahead.result()
                ahead = thread.submit(loader.batch, step)
                yield batch

        yield batches()
