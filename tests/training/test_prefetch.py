"""The next batch is made ahead: in order, with its errors, and with no thread left behind."""

import threading

import pytest
import torch

from textmill.errors import CorpusError
from textmill.tokens.loader import Batch
from textmill.training.prefetch import prefetched


class Loader:
    """Gives its steps back; step 7 can't be read."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, step: int) -> int:
        self.asked.append(step)
        if step == 7:
            raise CorpusError("the shard is damaged")
        return step


def test_in_order_one_ahead_and_the_error_where_it_belongs() -> None:
    loader, before = Loader(), threading.active_count()
    with pytest.raises(CorpusError, match="damaged"), prefetched(loader, 3) as batches:
        for expected in range(3, 7):
            assert next(batches) == expected
            assert len(loader.asked) <= expected - 3 + 2
        next(batches)
    assert threading.active_count() == before


def test_an_error_beyond_the_last_batch_that_was_asked_for_is_no_error() -> None:
    with prefetched(Loader(), 6) as batches:
        assert next(batches) == 6


def test_leaving_in_the_middle_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), prefetched(Loader(), 0) as batches:
        next(batches)
        raise KeyboardInterrupt
    assert threading.active_count() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_to_a_gpu_batches_are_carried_whole() -> None:
    class Real:
        def batch(self, step: int) -> Batch:
            tokens = torch.full((2, 4), step)
            return Batch(tokens, tokens + 1, tokens, None, torch.zeros(2), torch.zeros(2, dtype=torch.bool), 8)

    with prefetched(Real(), 3, "cuda") as batches:
        for step in range(3, 20):
            batch = next(batches)
            assert batch.inputs.is_cuda and batch.inputs.tolist() == [[step] * 4] * 2 and batch.tokens == 8
