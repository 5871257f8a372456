"""What a model is trained to do. It prepares a batch, counts what it teaches, before any forward, and gives the loss's sum.

The loop divides by the count over the whole batch, so that micro-batching doesn't change the gradient.
"""

import dataclasses
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..models.loss import PLAIN, LossTerms
from ..tokens.loader import IGNORED, Batch
from ..tokens.permutation import mix

# Of the tokens to be guessed: how many become the mask, and how many any other token; the rest stay (Devlin et al. 2019).
MASKED, REPLACED = 0.8, 0.1


class Objective(Protocol):
    """(model, batch, carry) -> (sum of the loss, carry, metrics). The loop knows no more of it than this.

    `carry` (B, …) is what the rows bring along from the batch before, without a gradient: recurrent state; None at the start,
    and where a family carries nothing.

    `metrics["nats"]` is the sum of the plain loss in nats, without what training may add to it: that is what is shown.
    """

    def prepare(self, batch: Any, step: int) -> Any:
        """The whole batch of this step, on the CPU, as the model is to see it: a function of (batch, step). A Batch, or what
        can be parted and moved like one (tokens/pairs.py)."""
        ...

    def count(self, batch: Any) -> int:
        """How many targets of a prepared batch count towards the loss."""
        ...

    def __call__(self, model: nn.Module, batch: Any, carry: Tensor | None) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Of a prepared batch, or of some rows of it."""
        ...


def documents(batch: Batch) -> dict[str, Tensor | None]:
    """What keeps attention inside documents, where a batch says it."""
    return {} if batch.segments is None else {"positions": batch.positions, "segments": batch.segments}


class CausalObjective:
    """Predict each next token."""

    def __init__(self, terms: LossTerms = PLAIN):
        self.terms = terms

    def prepare(self, batch: Batch, step: int) -> Batch:
        return batch

    def count(self, batch: Batch) -> int:
        return batch.tokens

    def __call__(self, model: nn.Module, batch: Batch, carry: Tensor | None) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        state = model.carried(carry, batch.continues)  # type: ignore[operator]
        loss, nats = model(batch.inputs, batch.targets, state=state, terms=self.terms, **documents(batch))
        return loss, None if state is None else state.values.detach(), {"nats": nats}


class MaskedObjective:
    """Guess masked words from both sides (Devlin et al. 2019; whole words, Cui et al. 2021). Which ones row `r` of step `k`
    hides is a function of (seed, k, r).

    `share` of each row's tokens is masked, in whole words. `begins_word` (V,) bool: whether a token begins one; `special`
    tokens are never masked, and never stand in for others.
    """

    def __init__(
        self, mask_id: int, begins_word: np.ndarray, special: set[int], share: float, seed: int, terms: LossTerms = PLAIN
    ):
        self.terms = terms
        self.mask_id, self.begins_word, self.share, self.seed = mask_id, begins_word, share, seed
        self.is_special = np.isin(np.arange(len(begins_word)), list(special))
        self.ordinary = np.flatnonzero(~self.is_special)

    def prepare(self, batch: Batch, step: int) -> Batch:
        inputs = batch.inputs.numpy().copy()
        targets = np.full_like(inputs, IGNORED)
        for row, tokens in enumerate(inputs):
            random = np.random.default_rng(mix(self.seed, step, row))
            chosen = self._chosen(tokens, random)
            targets[row, chosen] = tokens[chosen]
            way = random.random(len(chosen))
            others = random.choice(self.ordinary, len(chosen))
            tokens[chosen] = np.where(way < MASKED, self.mask_id, np.where(way < MASKED + REPLACED, others, tokens[chosen]))
        counted = int((targets != IGNORED).sum())
        return dataclasses.replace(batch, inputs=torch.from_numpy(inputs), targets=torch.from_numpy(targets), tokens=counted)

    def count(self, batch: Batch) -> int:
        return batch.tokens

    def __call__(self, model: nn.Module, batch: Batch, carry: Tensor | None) -> tuple[Tensor, None, dict[str, Tensor]]:
        loss, nats = model(batch.inputs, batch.targets, terms=self.terms, **documents(batch))
        return loss, None, {"nats": nats}

    def _chosen(self, tokens: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Places of a row (T,) that are to be guessed: words in random order up to the share, one at least. Whether the word
        that crosses it is one of them is left to chance, so that the share is met on average."""
        special = self.is_special[tokens]
        begins = self.begins_word[tokens] | special
        begins[0] = True
        begins[1:] |= special[:-1]
        words = np.cumsum(begins) - 1
        lengths = np.bincount(words)
        order = random.permutation(len(lengths))
        order = order[~special[begins][order]]
        ends = np.cumsum(lengths[order])
        fitting = ends - random.random() * lengths[order] <= self.share * len(tokens)
        fitting[:1] = True
        return np.flatnonzero(np.isin(words, order[fitting]))
