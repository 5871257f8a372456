"""One pass over the weights for rows that don't fit into one rectangle: some read one token, one reads a piece of its prompt.

All tokens stand in one row, one part behind the other, and every layer but attention treats them as such. In attention each
part is a rectangle of its own, which looks no further back than its longest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .slots import KeyValueView


@dataclass(frozen=True)
class Part:
    """Rows side by side that read `tokens` tokens each, behind the first `start` tokens of the pass."""

    view: KeyValueView
    tokens: int
    start: int

    @property
    def end(self) -> int:
        """Where the next part begins."""
        return self.start + self.view.rows * self.tokens

    def taken(self, heads: Tensor) -> Tensor:
        """This part of queries, keys or values (1, H, all, d): (rows, H, tokens, d)."""
        return heads[0, :, self.start : self.end].unflatten(1, (self.view.rows, self.tokens)).transpose(0, 1)

    def positions(self) -> Tensor:
        """Where the tokens stand in their rows, (rows · tokens,)."""
        places = self.view.places(self.tokens)
        if places is None:
            behind = torch.arange(self.view.length, self.view.length + self.tokens, device=self.view.device)
            return behind.repeat(self.view.rows)
        return places.flatten()


class PackedState:
    """The states of the parts of one pass. The models read it as any other; what they read, the slots keep."""

    padding = None

    def __init__(self, views: Sequence[tuple[KeyValueView, int]]):
        self.parts: list[Part] = []
        for view, tokens in views:
            self.parts.append(Part(view, tokens, self.parts[-1].end if self.parts else 0))

    def positions(self) -> Tensor:
        """Where all tokens stand in their rows, (1, all)."""
        return torch.cat([part.positions() for part in self.parts])[None]

    def advance(self, tokens: int) -> None:
        """Count what each part has read."""
        for part in self.parts:
            part.view.advance(part.tokens)
