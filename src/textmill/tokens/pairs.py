"""Pairs of a source and a target: in batches whose padding is told by lengths, and from files of parallel text."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import CorpusError
from .loader import IGNORED, moved
from .texts import padded


class TextPair(NamedTuple):
    """A text, and what is to be made of it."""

    source: str
    target: str


@dataclass(frozen=True)
class PairBatch:
    """B pairs, padded at the right.

    `source` (B, S) int64, of which the first `lengths` (B,) tokens are real; None: all. `inputs` (B, T) is what a decoder
    reads, `targets` (B, T) what it is to say after each of them, IGNORED where there is nothing more to say. `tokens`: how
    many targets count. `pieces`: rows that stand for one of the plan's blocks.
    """

    source: Tensor
    lengths: Tensor | None
    inputs: Tensor
    targets: Tensor
    tokens: int
    pieces: int = 1

    def rows(self, begin: int, end: int) -> "PairBatch":
        """Rows `[begin, end)` as a batch of their own."""
        targets = self.targets[begin:end]
        lengths = None if self.lengths is None else self.lengths[begin:end]
        counted = int((targets != IGNORED).sum())
        return PairBatch(self.source[begin:end], lengths, self.inputs[begin:end], targets, counted, self.pieces)

    def to(self, device: torch.device | str) -> "PairBatch":
        """The batch on another device; to a GPU without waiting."""
        return dataclasses.replace(
            self,
            source=moved(self.source, device),
            lengths=None if self.lengths is None else moved(self.lengths, device),
            inputs=moved(self.inputs, device),
            targets=moved(self.targets, device),
        )


def pair_batch(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad_id: int, start_id: int | None, pieces: int = 1
) -> PairBatch:
    """A batch of pairs of token ids, none empty. A decoder reads `start_id`, or the target's last token where that is None,
    and then the target without its last token."""
    sources, targets = zip(*pairs, strict=True)
    inputs = [[target[-1] if start_id is None else start_id, *target[:-1]] for target in targets]
    lengths = np.array([len(source) for source in sources])
    return PairBatch(
        source=padded(sources, pad_id),
        lengths=None if (lengths == lengths[0]).all() else torch.from_numpy(lengths),
        inputs=padded(inputs, pad_id),
        targets=padded(targets, IGNORED),
        tokens=sum(map(len, targets)),
        pieces=pieces,
    )


def read_pairs(path: str | Path) -> Iterator[TextPair]:
    """The pairs of a .jsonl, in its order: each line an object with the texts `source` and `target`. Raises CorpusError for
    the first line that is no such object, or has an empty one."""
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                value = json.loads(line)
                pair = TextPair(value["source"], value["target"])
            except (ValueError, KeyError, TypeError):
                pair = None
            if pair is None or not all(isinstance(text, str) and text.strip() for text in pair):
                raise CorpusError(
                    f"{path}, line {number}: found {line.strip()[:80]!r}; "
                    'write {"source": "a text", "target": "what it becomes"}'
                )
            yield pair
