"""One pass over the weights for rows that don't fit into one rectangle: some read one token, one reads a piece of its prompt.

All tokens stand in one row, one part behind the other, and every layer but attention treats them as such. In attention each
part is a rectangle of its own, which looks no further back than its longest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .slots import KeyValueSlots, KeyValueView


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
    """The states of the parts of one pass over `slots`. The models read it as any other; what they read, the slots keep.

    A part is told by the first of its rows, how many tokens each of them has read, and how many each reads now.
    """

    padding = None

    def __init__(self, slots: KeyValueSlots, parts: Sequence[tuple[int, Sequence[int], int]]):
        self._slots, self.parts = slots, list[Part]()
        rows = []
        for first, lengths, tokens in parts:
            start = self.parts[-1].end if self.parts else 0
            self.parts.append(Part(slots.view(first, lengths), tokens, start))
            rows.append(torch.arange(first, first + len(lengths)).repeat_interleave(tokens))
        self._rows = torch.cat(rows).to(slots.keys[0].device)
        self._places = torch.cat([part.positions() for part in self.parts])

    def positions(self) -> Tensor:
        """Where all tokens stand in their rows, (1, all)."""
        return self._places[None]

    def append(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Add a layer's keys and values (1, K, all, d), each row's behind its own: at once, since a call for each part costs
        more than what it moves."""
        places = self._rows, slice(None), self._places
        self._slots.keys[layer][places] = key[0].transpose(0, 1)
        self._slots.values[layer][places] = value[0].transpose(0, 1)

    def advance(self, tokens: int) -> None:
        """Count what each part has read."""
        for part in self.parts:
            part.view.advance(part.tokens)
