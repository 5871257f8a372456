"""Which stretch of the corpus each row of each batch reads: a plan is a class whose `rows(tokens, seed, step)` says so.

`BlockPlan` cuts the corpus into equal stretches and reads them in a new shuffled order every epoch; under `StreamPlan` each row
reads on, batch after batch, for models that remember.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import CorpusError
from .permutation import mix, permute


@dataclass(frozen=True)
class Phase:
    """Steps below `until`, counted from 0: `batch_size` blocks a batch, each cut into rows of `context` tokens."""

    until: int
    batch_size: int
    context: int


class Rows(NamedTuple):
    """The B rows of a batch: where each begins in the corpus, (B,) int64, and whether it goes on where the same row of the
    batch before ended, (B,) bool. A row reads the phase's context + 1 tokens."""

    starts: np.ndarray
    continues: np.ndarray


@dataclass(frozen=True)
class Plan:
    """Rows of `context` targets, `batch_size` rows a batch; at the beginning, `phases` of other sizes, whose shorter rows are
    pieces of the same blocks, so that the order of the text doesn't depend on them."""

    context: int
    batch_size: int
    document_attention: bool = False
    phases: tuple[Phase, ...] = ()

    def phase(self, step: int) -> Phase:
        """The sizes at this step."""
        last = Phase(2**62, self.batch_size, self.context)
        return next((phase for phase in self.phases if step < phase.until), last)

    def blocks_before(self, step: int) -> int:
        """How many blocks the batches before this one have read."""
        blocks = begun = 0
        for phase in (*self.phases, Phase(2**62, self.batch_size, self.context)):
            ended = max(begun, min(step, phase.until))
            blocks += (ended - begun) * phase.batch_size
            begun = ended
        return blocks

    def tokens_before(self, step: int) -> int:
        """How many targets the batches before this one have."""
        return self.blocks_before(step) * self.context

    def unread_tokens(self, tokens: int, epoch: int) -> int:
        """How many tokens are a target of no block in this epoch: what stands before the offset and after the last."""
        return tokens - self.rows_per_epoch(tokens) * self.context

    def rows_per_epoch(self, tokens: int) -> int:
        """How many blocks a corpus of `tokens` has, the same in every epoch. Raises CorpusError where it has none."""
        raise NotImplementedError

    def rows(self, tokens: int, seed: int, step: int) -> Rows:
        """The rows of batch `step`."""
        raise NotImplementedError


class BlockPlan(Plan):
    """Equal stretches in a new shuffled order every epoch.

    The cuts move by a random offset each epoch, so that it isn't always the same tokens that have no past. With
    `document_attention` tokens see only their own document: each begins with its separator, which is its BOS.
    """

    def rows_per_epoch(self, tokens: int) -> int:
        """How many blocks a corpus of `tokens` has, the same in every epoch. Raises CorpusError where it has none."""
        if tokens <= self.context:
            raise CorpusError(
                f"the corpus has {tokens} tokens, one block of model.context_length = {self.context} needs {self.context + 1}; "
                f"write model.context_length = {max(tokens - 1, 1)} or less, or give more text"
            )
        # One block less than would fit leaves room for the offset; a corpus of a single block has none to spare.
        return max(1, tokens // self.context - 1)

    def offset(self, tokens: int, seed: int, epoch: int) -> int:
        """Where the first block of this epoch begins, below `context`."""
        spare = tokens - 1 - self.rows_per_epoch(tokens) * self.context
        return mix(seed, epoch, ~0) % min(self.context, spare + 1)

    def rows(self, tokens: int, seed: int, step: int) -> Rows:
        """The rows of batch `step`. None goes on: blocks are shuffled."""
        blocks, phase = self.rows_per_epoch(tokens), self.phase(step)
        epochs, indices = np.divmod(np.arange(phase.batch_size, dtype=np.int64) + self.blocks_before(step), blocks)
        starts = np.empty(phase.batch_size, dtype=np.int64)
        for epoch in map(int, np.unique(epochs)):
            here = epochs == epoch
            places = permute(indices[here], blocks, seed, epoch)
            starts[here] = self.offset(tokens, seed, epoch) + places * self.context
        pieces = np.arange(0, self.context, phase.context, dtype=np.int64)
        begins = (starts[:, None] + pieces).reshape(-1)
        return Rows(begins, np.zeros(len(begins), dtype=bool))


class StreamPlan(Plan):
    """Row r reads its own part of the corpus from one end to the other, `context` targets a batch.

    Each epoch cuts the corpus anew, at a random offset, and each row begins somewhere in its part and reads on over the
    part's end to its begin, so that texts meet others in every epoch. Takes no phases: other sizes would cut the streams.
    """

    def steps_per_epoch(self, tokens: int) -> int:
        """How many batches a corpus of `tokens` has. Raises CorpusError where it hasn't one."""
        batch = self.batch_size * self.context
        if tokens <= batch:
            raise CorpusError(
                f"the corpus has {tokens} tokens, {self.batch_size} streams of model.context_length = {self.context} need "
                f"{batch + 1}; write train.batch_size or model.context_length smaller, or give more text"
            )
        return max(1, tokens // batch - 1)  # one less than would fit leaves room for the offset

    def rows_per_epoch(self, tokens: int) -> int:
        """How many blocks a corpus of `tokens` has, the same in every epoch."""
        return self.steps_per_epoch(tokens) * self.batch_size

    def rows(self, tokens: int, seed: int, step: int) -> Rows:
        """The rows of batch `step`. All go on but where an epoch begins, and where a row goes from its part's end to its
        begin."""
        steps = self.steps_per_epoch(tokens)
        epoch, here = divmod(step, steps)
        begins = np.array([mix(seed, epoch, row) % steps for row in range(self.batch_size)], dtype=np.int64)
        places = (begins + here) % steps  # how many blocks of its part lie before each row's
        spare = tokens - 1 - self.rows_per_epoch(tokens) * self.context
        parts = np.arange(self.batch_size, dtype=np.int64) * steps
        starts = mix(seed, epoch, ~0) % (spare + 1) + (parts + places) * self.context
        return Rows(starts, (places > 0) & (here > 0))


PLANS: dict[str, type[Plan]] = {"blocks": BlockPlan, "streams": StreamPlan}
