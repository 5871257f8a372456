"""Whole texts with what is to be said of them, in batches of like lengths: batch `step` is a function of (texts, seed, step).

Each epoch shuffles the texts, sorts stretches of some batches by length, so that little is padded, and shuffles these batches.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TaskError
from .loader import IGNORED
from .permutation import permute
from .plans import Phase

SORTED_TOGETHER = 32  # batches: enough for like lengths, few enough that a batch meets others in every epoch


@dataclass(frozen=True)
class TextBatch:
    """B texts, padded at the right.

    `inputs` (B, T) int64, of which the first `lengths` (B,) tokens are real. `targets`: what a head is to say of each,
    (B,) int64 or (B, labels) float32, or of each token, (B, T) int64, IGNORED where nothing is asked. `tokens`: how many are
    read.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    tokens: int
    pieces: int = 1

    def rows(self, begin: int, end: int) -> "TextBatch":
        """Rows `[begin, end)` as a batch of their own."""
        lengths = self.lengths[begin:end]
        return TextBatch(self.inputs[begin:end], lengths, self.targets[begin:end], int(lengths.sum()))

    def to(self, device: torch.device | str) -> "TextBatch":
        """The batch on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("inputs", "lengths", "targets")}
        return dataclasses.replace(self, **moved)


@dataclass(frozen=True)
class TextTokens:
    """A text's tokens (T,), and its target: a number, a vector (labels,), or a number for each token (T,)."""

    tokens: np.ndarray
    target: np.ndarray


def text_batch(texts: Sequence[TextTokens], of_tokens: bool = False) -> TextBatch:
    """A batch of these, none empty. `of_tokens`: the targets are one for each token, and padded with IGNORED."""
    inputs = padded([text.tokens for text in texts], 0)
    targets = [text.target for text in texts]
    return TextBatch(
        inputs=inputs,
        lengths=torch.tensor([len(text.tokens) for text in texts]),
        targets=padded(targets, IGNORED) if of_tokens else torch.from_numpy(np.stack(targets)),
        tokens=sum(len(text.tokens) for text in texts),
    )


def padded(rows: Sequence[Any], fill: int) -> Tensor:
    """Rows of numbers, of unlike lengths, as one (B, T) int64, `fill` behind the short ones."""
    out = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return torch.from_numpy(out)


class TextLoader:
    """The batches of labelled texts under one seed, and the plan that says what was read before each.

    The last batch of an epoch is as small as what is left. Raises TaskError where there are no texts.
    """

    def __init__(self, texts: Sequence[TextTokens], batch_size: int, seed: int, of_tokens: bool = False):
        if not texts:
            raise TaskError("there are no texts to learn from")
        self.texts, self.batch_size, self.seed, self.of_tokens = texts, batch_size, seed, of_tokens
        self.lengths = np.array([len(text.tokens) for text in texts])
        self.context = int(self.lengths.max())
        self.rows_per_epoch = len(texts)
        self.steps_per_epoch = -(-len(texts) // batch_size)
        self._order = functools.lru_cache(maxsize=2)(self._batches)

    @property
    def plan(self) -> "TextLoader":
        """What reads the texts in which order: this."""
        return self

    def following(self, phases: tuple[Phase, ...]) -> "TextLoader":
        """The same: whole texts know no phases of other sizes."""
        assert not phases
        return self

    def batch(self, step: int) -> TextBatch:
        """Batch number `step`, counted from 0; epochs follow each other without a gap."""
        epoch, number = divmod(step, self.steps_per_epoch)
        return text_batch([self.texts[place] for place in self._order(epoch)[number]], self.of_tokens)

    def blocks_before(self, step: int) -> int:
        """How many texts the batches before this one have."""
        return self._before(step, np.ones(len(self.texts), dtype=np.int64))

    def tokens_before(self, step: int) -> int:
        """How many tokens they have."""
        return self._before(step, self.lengths)

    def unread_tokens(self, epoch: int) -> int:
        """None: every epoch reads every text."""
        return 0

    def _before(self, step: int, sizes: np.ndarray) -> int:
        epoch, number = divmod(step, self.steps_per_epoch)
        read = [int(sizes[places].sum()) for places in self._order(epoch)[:number]] if number else []
        return epoch * int(sizes.sum()) + sum(read)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """The places of the texts in each batch of an epoch, in their order."""
        places = permute(np.arange(len(self.texts)), len(self.texts), self.seed, epoch)
        together = self.batch_size * SORTED_TOGETHER
        batches = []
        for start in range(0, len(places), together):
            part = places[start : start + together]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[begin : begin + self.batch_size] for begin in range(0, len(part), self.batch_size)]
        return [batches[place] for place in permute(np.arange(len(batches)), len(batches), self.seed, ~epoch)]
