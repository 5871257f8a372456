"""Masked language modelling hides whole words as a function of (seed, step, row), and learns from nothing else."""

import dataclasses

import numpy as np
import pytest
import torch

from textmill.models.architectures import ARCHITECTURES, build
from textmill.tokens.loader import IGNORED, Batch
from textmill.tokens.tokenizer import Tokenizer
from textmill.training.objectives import MaskedObjective
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings
from textmill.training.step import Kernels, run_step

WHOLE = Kernels("cpu", 1, "float32", "fused", 8, compile=False)
SEPARATOR, MASK = 0, 7


@pytest.fixture
def objective(tokenizer: Tokenizer) -> MaskedObjective:
    return MaskedObjective(MASK, tokenizer.begins_word, {SEPARATOR, MASK}, share=0.15, seed=3)


@pytest.fixture
def batch(tokenizer: Tokenizer, texts: list[str]) -> Batch:
    """Eight rows of 64 tokens, each with a separator in it."""
    ids = tokenizer.encode(texts[0] + texts[1])[: 8 * 64]
    tokens = torch.tensor(ids).view(8, 64)
    tokens[:, 20] = SEPARATOR
    plain = torch.arange(64).expand(8, -1)
    nothing = torch.zeros(8, dtype=torch.int32)
    return Batch(tokens, tokens, plain, None, nothing, nothing.bool(), tokens.numel())


def test_whole_words_are_hidden_about_as_many_as_asked(objective, batch, tokenizer) -> None:
    prepared = [objective.prepare(batch, step) for step in range(20)]
    hidden = torch.stack([one.targets != IGNORED for one in prepared])
    assert 0.145 < hidden.float().mean() < 0.155
    assert objective.count(prepared[0]) == prepared[0].tokens == int(hidden[0].sum()) > 0
    tokens = batch.inputs
    assert not hidden[:, tokens == SEPARATOR].any(), "the separator is no word"
    begins = torch.from_numpy(tokenizer.begins_word)[tokens]
    goes_on = ~begins[:, 1:] & (tokens[:, :-1] != SEPARATOR) & (tokens[:, 1:] != SEPARATOR)
    assert torch.equal(hidden[:, :, 1:][:, goes_on], hidden[:, :, :-1][:, goes_on]), "a word is hidden whole or not at all"
    for one, places in zip(prepared, hidden):
        assert torch.equal(one.inputs[~places], tokens[~places]) and torch.equal(one.targets[places], tokens[places])
    shown = torch.cat([one.inputs[places] for one, places in zip(prepared, hidden)])
    wanted = torch.cat([one.targets[places] for one, places in zip(prepared, hidden)])
    masked, kept = (shown == MASK).float().mean(), (shown == wanted).float().mean()
    assert 0.75 < masked < 0.85 and 0.06 < kept < 0.15, "8 of 10 are masked, 1 is another, 1 stays (Devlin et al. 2019)"


def test_the_mask_is_a_function_of_seed_step_and_row(objective, batch, tokenizer) -> None:
    first = objective.prepare(batch, 5)
    again = objective.prepare(batch, 5)
    assert torch.equal(first.inputs, again.inputs) and torch.equal(first.targets, again.targets)
    fewer = objective.prepare(batch.rows(0, 3), 5)
    assert torch.equal(fewer.inputs, first.inputs[:3]), "it doesn't depend on the other rows"
    assert not torch.equal(objective.prepare(batch, 6).targets, first.targets)
    other = MaskedObjective(MASK, tokenizer.begins_word, {SEPARATOR, MASK}, share=0.15, seed=4)
    assert not torch.equal(other.prepare(batch, 5).targets, first.targets)


def test_one_long_word_is_hidden_all_the_same(tokenizer, batch) -> None:
    objective = MaskedObjective(MASK, np.zeros_like(tokenizer.begins_word), {SEPARATOR, MASK}, share=0.15, seed=0)
    assert all(objective.prepare(batch, 0).targets[row].ne(IGNORED).any() for row in range(8))


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_micro_batched_is_whole(objective, batch, architecture: str) -> None:
    sizes = {"vocabulary_size": 512, "context_length": 64, "layers": 2, "width": 32, "heads": 2}
    sizes |= {"key_value_heads": 2, "head_dim": 16, "feed_forward_width": 64}
    shape = ARCHITECTURES[architecture]
    config = shape.config(**{**shape.differs, **sizes, "windows": ()})
    found: list[list[float]] = []
    for kernels in (WHOLE, dataclasses.replace(WHOLE, micro_batch=3)):
        model = build(config)
        model.initialise(0)
        optimizer = Optimizer(model, TrainSettings(steps=5, optimizer="adamw"))
        steps = [run_step(model, optimizer, objective, batch, None, kernels, step, rate=0.1) for step in range(3)]
        found.append([value for step in steps for value in (step.loss, step.gradient_norm, step.count)])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
