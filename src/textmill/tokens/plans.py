"""Which stretch of the corpus each row of each batch reads: a plan is a class whose `rows(tokens, seed, step)` says so.

`blocks` cuts the corpus into equal stretches and reads them in a new shuffled order every epoch.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import CorpusError
from .permutation import mix, permute


@dataclass(frozen=True)
class BlockPlan:
    """Rows of `context` targets, `batch_size` rows a batch.

    The cuts move by a random offset each epoch, so that it isn't always the same tokens that have no past. With
    `document_attention` tokens see only their own document: each begins with its separator, which is its BOS.
    """

    context: int
    batch_size: int
    document_attention: bool = False

    @property
    def tokens_per_step(self) -> int:
        """Targets in one batch."""
        return self.batch_size * self.context

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

    def rows(self, tokens: int, seed: int, step: int) -> np.ndarray:
        """Where each row of batch `step` begins in the corpus: (B,) int64. It reads `context` + 1 tokens from there."""
        blocks = self.rows_per_epoch(tokens)
        epochs, indices = np.divmod(np.arange(self.batch_size, dtype=np.int64) + step * self.batch_size, blocks)
        starts = np.empty(self.batch_size, dtype=np.int64)
        for epoch in map(int, np.unique(epochs)):
            here = epochs == epoch
            places = permute(indices[here], blocks, seed, epoch)
            starts[here] = self.offset(tokens, seed, epoch) + places * self.context
        return starts

    def unread_tokens(self, tokens: int, epoch: int) -> int:
        """How many tokens are a target of no block in this epoch: what stands before the offset and after the last."""
        return tokens - self.rows_per_epoch(tokens) * self.context
