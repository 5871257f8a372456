"""What a recurrent model remembers of the tokens it has read: the last hidden vectors of each layer, for N rows.

As large after a million tokens as after one; so rows of different lengths are joined as they are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class RecurrentState:
    """`values` (N, L, P, D): for each row and layer the hidden vector and, of an LSTM (P = 2), the cell.

    They are replaced and never written into, so that a mark is a reference. `length` counts the tokens read, padding included.
    """

    def __init__(self, values: Tensor, length: int = 0):
        self.values, self.length = values, length

    @property
    def rows(self) -> int:
        """How many sequences it holds."""
        return len(self.values)

    def advance(self, values: Tensor, tokens: int) -> None:
        """Remember `values` instead, after `tokens` more."""
        self.values = values
        self.length += tokens

    def select(self, rows: Tensor) -> "RecurrentState":
        """A state of these rows, (M,), in this order; a row may come twice."""
        return RecurrentState(self.values[rows], self.length)

    @classmethod
    def merge(cls, states: Sequence["RecurrentState"]) -> "RecurrentState":
        """The rows of all, one after the other; `length` is the longest's."""
        return RecurrentState(torch.cat([state.values for state in states]), max(state.length for state in states))

    def mark(self) -> tuple[Tensor, int]:
        """What it holds now."""
        return self.values, self.length

    def rollback(self, mark: tuple[Tensor, int]) -> None:
        """Forget what was read since the mark."""
        self.values, self.length = mark

    def bytes(self, length: int) -> int:
        """What one row takes, in float32, after any number of tokens."""
        return self.values[0].numel() * 4
