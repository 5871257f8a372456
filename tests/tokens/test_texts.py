"""Batches of whole texts: a function of the step, every text once an epoch, of like lengths."""

import numpy as np
import pytest
import torch

from textmill.errors import TaskError
from textmill.tokens.texts import TextLoader, TextTokens

LENGTHS = np.random.default_rng(0).integers(1, 40, size=333)
TEXTS = [TextTokens(np.full(length, place), np.array(place)) for place, length in enumerate(LENGTHS)]


def test_every_text_is_read_once_an_epoch_in_another_order() -> None:
    loader = TextLoader(TEXTS, 8, seed=3)
    epochs = [
        [loader.batch(epoch * loader.steps_per_epoch + step) for step in range(loader.steps_per_epoch)] for epoch in (0, 1)
    ]
    orders = [torch.cat([batch.targets for batch in batches]).tolist() for batches in epochs]
    assert [sorted(order) for order in orders] == [list(range(333))] * 2
    assert orders[0] != orders[1]
    for batch in epochs[0]:
        assert batch.lengths.tolist() == [LENGTHS[target] for target in batch.targets]
        real = torch.arange(batch.inputs.size(1)) < batch.lengths[:, None]
        assert torch.equal(batch.inputs, torch.where(real, batch.targets[:, None], 0))
        assert batch.tokens == int(batch.lengths.sum())
    padding = sum(batch.inputs.numel() for batch in epochs[0]) / LENGTHS.sum()
    assert padding < 1.2  # against 1.8 of batches drawn at random


def test_a_batch_is_a_function_of_its_number() -> None:
    again, loader = TextLoader(TEXTS, 8, seed=3), TextLoader(TEXTS, 8, seed=3)
    later = [again.batch(step) for step in reversed(range(0, 130, 13))]
    for batch, step in zip(reversed(later), range(0, 130, 13), strict=True):
        assert torch.equal(batch.inputs, loader.batch(step).inputs)
    assert not torch.equal(TextLoader(TEXTS, 8, seed=4).batch(0).targets, loader.batch(0).targets)


def test_what_was_read_before_a_step() -> None:
    loader = TextLoader(TEXTS, 8, seed=3)
    for step in (0, 1, 41, 42, 43, 100):
        batches = [loader.batch(number) for number in range(step)]
        assert loader.tokens_before(step) == sum(batch.tokens for batch in batches)
        assert loader.blocks_before(step) == sum(len(batch.inputs) for batch in batches)


def test_rows_are_parted() -> None:
    batch = TextLoader(TEXTS, 8, seed=3).batch(0)
    parts = [batch.rows(0, 5), batch.rows(5, 8)]
    assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)
    assert sum(part.tokens for part in parts) == batch.tokens


def test_no_texts() -> None:
    with pytest.raises(TaskError):
        TextLoader([], 8, seed=0)
