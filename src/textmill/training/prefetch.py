"""The next batch, made by another thread while the step at hand is computed; for a GPU it is carried there meanwhile, too."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch

from ..tokens.loader import Batch, BatchSource


class Carrier:
    """Copies batches to a CUDA device on a stream of its own, out of pinned memory, beside what is computed there. Written
    without a GPU at hand, and unmeasured."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)

    def send(self, batch: Batch) -> tuple[Batch, Any]:
        """In any thread: begin the copy. The batch there, and the event behind which it may be read."""
        with torch.cuda.stream(self.stream):
            sent = batch.to(self.device)
            return sent, self.stream.record_event()

    def receive(self, sent: tuple[Batch, Any]) -> Batch:
        """In the thread that computes: the batch, which what is computed from now on waits for."""
        batch, arrived = sent
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(arrived)
        for tensor in vars(batch).values():
            if isinstance(tensor, torch.Tensor) and tensor.is_cuda:
                tensor.record_stream(computing)  # else its memory might be given away while it is still read
        return batch


@contextmanager
def prefetched(loader: BatchSource, first: int, device: str = "cpu") -> Iterator[Iterator[Batch]]:
    """Gives the loader's batches from `first` on, in their order, always one of them ahead; on `device` where that is CUDA.

    Which batch is which doesn't depend on the thread: batch k is a function of k. What making a batch raises is raised where
    that batch is asked for. At the context's end the thread has ended.
    """
    carrier = Carrier(torch.device(device)) if device == "cuda" else None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-batch") as thread:

        def make(step: int) -> Any:
            batch = loader.batch(step)
            return batch if carrier is None else carrier.send(batch)

        def batches() -> Iterator[Batch]:
            ahead = thread.submit(make, first)
            for step in count(first + 1):
                made = ahead.result()
                ahead = thread.submit(make, step)
                yield made if carrier is None else carrier.receive(made)

        yield batches()
