"""From the tokenized corpus to batches: batch `step` is a pure function of (data, plan, seed, step).

So a resumed run, another number of processes, or a question asked out of order all see the same batches.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from .data import TokenData
from .plans import Phase, Plan

IGNORED = -100  # a target that doesn't count; what torch's cross_entropy ignores by default
UNCOUNTED = -1  # targets of some rows on a GPU, since counting them would have to be waited for


@dataclass(frozen=True)
class Batch:
    """B rows of T tokens, on the CPU.

    `inputs` and `targets` (B, T) int64: the target is the token after the input, or IGNORED. `positions` (B, T) int64
    count from the beginning of the row or, where attention stays inside documents, of the document. `segments` (B, T)
    int32 number the documents within a row; None where attention crosses them. `source` (B,) int32: which of the
    loader's corpora a row was read from. `continues` (B,) bool: the row goes on where the same row of the batch before
    ended. `tokens`: how many targets count, or UNCOUNTED. `pieces`: into how many rows each of the plan's blocks was cut.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor | None
    source: torch.Tensor
    continues: torch.Tensor
    tokens: int
    pieces: int = 1

    def rows(self, begin: int, end: int) -> "Batch":
        """Rows `[begin, end)` as a batch of their own: a micro-batch, or one process's share. Views, not copies."""
        if begin == 0 and end >= len(self.inputs):
            return self  # with its count, for which a GPU would have to be waited for
        targets = self.targets[begin:end]
        return Batch(
            inputs=self.inputs[begin:end],
            targets=targets,
            positions=self.positions[begin:end],
            segments=None if self.segments is None else self.segments[begin:end],
            source=self.source[begin:end],
            continues=self.continues[begin:end],
            tokens=_counted(targets) if targets.device.type == "cpu" else UNCOUNTED,
            pieces=self.pieces,
        )

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device; to a GPU without waiting."""
        return Batch(
            inputs=moved(self.inputs, device),
            targets=moved(self.targets, device),
            positions=moved(self.positions, device),
            segments=None if self.segments is None else moved(self.segments, device),
            source=self.source,
            continues=moved(self.continues, device),
            tokens=self.tokens,
            pieces=self.pieces,
        )


class BatchSource(Protocol):
    """Batches by their number, for the training loop: `batch(step)` is a function of the step alone."""

    @property
    def plan(self) -> Any:
        """What says how much the batches before a step have read: `context`, `blocks_before`, `tokens_before`."""

    @property
    def rows_per_epoch(self) -> int:
        """How many rows, or texts, an epoch has."""

    def following(self, phases: tuple[Phase, ...]) -> "BatchSource":
        """The same, with batches of other sizes at the beginning."""

    def batch(self, step: int) -> Any:
        """Batch number `step`, counted from 0: a Batch, or what can be parted and moved like one."""

    def unread_tokens(self, epoch: int) -> int:
        """How many tokens are never a target in this epoch."""


class Loader:
    """The batches of one corpus under one plan and seed.

    Raises CorpusError where the corpus is too small for the plan.
    """

    def __init__(self, data: TokenData, plan: Plan, seed: int):
        self.data, self.plan, self.seed = data, plan, seed
        self.rows_per_epoch = plan.rows_per_epoch(data.tokens)

    def following(self, phases: tuple[Phase, ...]) -> "Loader":
        """The same corpus and seed, with `phases` of other sizes at the beginning."""
        return Loader(self.data, dataclasses.replace(self.plan, phases=phases), self.seed)

    def batch(self, step: int) -> Batch:
        """Batch number `step`, counted from 0; epochs follow each other without a gap.

        Made by numpy alone, so that another thread can make it without waking torch's own threads.
        """
        context = self.plan.phase(step).context
        starts, continues = self.plan.rows(self.data.tokens, self.seed, step)
        tokens = np.stack([self.data.read(int(start), context + 1) for start in starts]).astype(np.int64)
        targets = np.ascontiguousarray(tokens[:, 1:])
        segments, positions = self._segments(starts, context) if self.plan.document_attention else (None, None)
        if positions is None:
            positions = np.tile(np.arange(context, dtype=np.int64), (len(starts), 1))
        return Batch(
            inputs=torch.from_numpy(np.ascontiguousarray(tokens[:, :-1])),
            targets=torch.from_numpy(targets),
            positions=torch.from_numpy(positions),
            segments=None if segments is None else torch.from_numpy(segments),
            source=torch.from_numpy(np.zeros(len(starts), dtype=np.int32)),
            continues=torch.from_numpy(continues),
            tokens=int((targets != IGNORED).sum()),
            pieces=self.plan.context // context,
        )

    def unread_tokens(self, epoch: int) -> int:
        """How many of the corpus's tokens are never a target in this epoch."""
        return self.plan.unread_tokens(self.data.tokens, epoch)

    def _segments(self, starts: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
        """Segments (B, T) int32 and positions (B, T) int64 for attention inside documents.

        The separator before a document belongs to it, as its BOS: so the document before is asked for its EOS, this one
        for its first token after nothing but BOS, and no target has to be left out.
        """
        begins = np.zeros((len(starts), context), dtype=bool)
        for row, start in enumerate(starts):
            separators = self.data.document_starts(int(start) + 1, context) - 1
            begins[row, separators - start] = True
        begins[:, 0] = True
        places = np.arange(context, dtype=np.int64)
        latest = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
        return (np.cumsum(begins, axis=1) - 1).astype(np.int32), places - latest


def moved(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """A batch's tensor on another device; to a GPU through pinned memory, without waiting."""
    pinned = torch.device(device).type == "cuda"
    return (tensor.pin_memory() if pinned and not tensor.is_cuda else tensor).to(device, non_blocking=pinned)


def _counted(targets: torch.Tensor) -> int:
    return int((targets != IGNORED).sum())
