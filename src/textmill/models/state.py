"""What a decoder remembers of the tokens it has read: the keys and values of each layer, for N rows; and, where it is half of
an encoder–decoder, those of the source.

The buffers grow by doubling, so that a token costs no copy of what came before it. Rows can be picked, joined with those of
another state, and rolled back, whatever the family: see `GenerationState`.
"""

import copy
from collections.abc import Sequence
from typing import Protocol, Self

import torch
from torch import Tensor

from ..errors import ModelError


class GenerationState(Protocol):
    """What a model remembers of N rows between two calls. `length` counts the tokens read, padding included."""

    length: int

    def select(self, rows: Tensor) -> Self:
        """A state of these rows, (M,) int64, in this order; a row may come twice, which forks it."""
        ...

    @classmethod
    def merge(cls, states: Sequence[Self]) -> Self:
        """The rows of all, one after the other. Shorter ones are padded at the left."""
        ...

    def mark(self) -> object:
        """Where it is now, for `rollback`."""
        ...

    def rollback(self, mark: object) -> None:
        """Forget what was read since the mark."""
        ...

    def bytes(self, length: int) -> int:
        """What one row takes after `length` tokens."""
        ...


class KeyValueState:
    """Keys and values of `rows` sequences, up to `capacity` tokens. `padding` (N,) counts the places at the left of each row
    that hold nothing; None: none anywhere."""

    def __init__(self, layers: int, rows: int, heads: int, head_dim: int, capacity: int):
        self.length = 0
        self.capacity = capacity
        self.padding: Tensor | None = None
        self._shape = (rows, heads, head_dim)
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    @property
    def rows(self) -> int:
        """How many sequences it holds."""
        return self._shape[0]

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add a layer's keys and values (N, K, T, d); returns all of that layer's, (N, K, length + T, d).

        `length` itself moves on once all layers have been given theirs: see `advance`.
        """
        end = self.length + key.size(2)
        self._keys[layer] = self._room(self._keys[layer], key, end)
        self._values[layer] = self._room(self._values[layer], value, end)
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, tokens: int) -> None:
        """Count `tokens` more as read, in every layer."""
        self.length += tokens

    def places(self, tokens: int) -> Tensor | None:
        """Where the next `tokens` of each row stand, (N, tokens), in rows of unlike lengths (models/slots.py); here None: all
        behind the same number of tokens."""
        return None

    def select(self, rows: Tensor) -> Self:
        """A state of these rows, (M,), in this order; a row may come twice."""
        chosen = self._like(len(rows))
        chosen.length = self.length
        chosen.padding = None if self.padding is None else self.padding[rows]
        chosen._keys = [None if keys is None else keys[rows] for keys in self._keys]
        chosen._values = [None if values is None else values[rows] for values in self._values]
        return chosen

    @classmethod
    def merge(cls, states: Sequence[Self]) -> Self:
        """The rows of all, one after the other. Shorter ones are moved to the right: a key knows its own position."""
        length = max(state.length for state in states)
        merged = states[0]._like(sum(state.rows for state in states))
        merged.length = length
        device = next((keys.device for state in states for keys in state._keys if keys is not None), torch.device("cpu"))
        total = torch.cat([torch.full((state.rows,), length - state.length) for state in states]).to(device)
        total += torch.cat([torch.zeros_like(total[: state.rows]) if state.padding is None else state.padding
                            for state in states])  # fmt: skip
        merged.padding = total if total.any() else None
        for name in ("_keys", "_values"):
            stacks = zip(*(getattr(state, name) for state in states), strict=True)
            setattr(merged, name, [_joined(stack, [state.length for state in states], length) for stack in stacks])
        return merged

    def mark(self) -> int:
        """How many tokens it holds."""
        return self.length

    def rollback(self, mark: int) -> None:
        """Forget the tokens behind the first `mark`. Raises ModelError where it doesn't hold as many."""
        if not 0 <= mark <= self.length:
            raise ModelError(f"a state of {self.length} tokens can't be rolled back to {mark}")
        self.length = mark

    def bytes(self, length: int) -> int:
        """What one row takes after `length` tokens, in float32."""
        _, heads, head_dim = self._shape
        return 2 * len(self._keys) * heads * head_dim * length * 4

    def _like(self, rows: int) -> Self:
        """One of the same sizes that has read nothing."""
        like = copy.copy(self)
        like.length, like.padding, like._shape = 0, None, (rows, *self._shape[1:])
        like._keys, like._values = [None] * len(self._keys), [None] * len(self._keys)
        return like

    def _room(self, buffer: Tensor | None, like: Tensor, end: int) -> Tensor:
        if buffer is not None and buffer.size(2) >= end:
            return buffer
        rows, heads, head_dim = self._shape
        size = min(self.capacity, max(64, 2 * end))
        grown = torch.empty(rows, heads, size, head_dim, dtype=like.dtype, device=like.device)
        if buffer is not None:
            grown[:, :, : self.length] = buffer[:, :, : self.length]
        return grown


class EncoderDecoderState(KeyValueState):
    """What the second half of an encoder–decoder remembers: of its own tokens, and the `memory` of the source, which was made
    once: each layer's keys and values, two of (N, K, S, d). `lengths` (N,) counts the source's real tokens; padding is at the
    right."""

    memory: list[tuple[Tensor, Tensor]]
    lengths: Tensor

    def remember(self, memory: list[tuple[Tensor, Tensor]], lengths: Tensor) -> None:
        """Hold this memory from now on."""
        self.memory, self.lengths = memory, lengths

    def memory_mask(self) -> Tensor:
        """Which places of the source are real, (N, 1, 1, S)."""
        return memory_mask(self.lengths, self.memory[0][0].size(2))

    def select(self, rows: Tensor) -> Self:
        """A state of these rows, (M,), in this order; a row may come twice."""
        chosen = super().select(rows)
        rows = rows.to(self.lengths.device)
        chosen.remember([(key[rows], value[rows]) for key, value in self.memory], self.lengths[rows])
        return chosen

    @classmethod
    def merge(cls, states: Sequence[Self]) -> Self:
        """The rows of all, one after the other; shorter sources are padded at the right."""
        merged = super().merge(states)
        longest = max(state.memory[0][0].size(2) for state in states)

        def joined(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat([torch.nn.functional.pad(part, (0, 0, 0, longest - part.size(2))) for part in parts])

        layers = zip(*(state.memory for state in states), strict=True)
        memory = [(joined([key for key, _ in layer]), joined([value for _, value in layer])) for layer in layers]
        merged.remember(memory, torch.cat([state.lengths for state in states]))
        return merged

    def bytes(self, length: int) -> int:
        """What one row takes after `length` tokens, its memory included, in float32."""
        return super().bytes(length) + sum(key[0].numel() + value[0].numel() for key, value in self.memory) * 4


def real_places(lengths: Tensor, longest: int) -> Tensor:
    """Which places of rows of these lengths, (N,), are real, not padding at the right: (N, longest) booleans."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def memory_mask(lengths: Tensor, longest: int) -> Tensor:
    """Which places of sources of these lengths, (N,), are real: (N, 1, 1, longest) booleans."""
    return real_places(lengths, longest)[:, None, None]


def _joined(buffers: Sequence[Tensor | None], lengths: Sequence[int], length: int) -> Tensor | None:
    """One layer's keys or values of many states, each ending at `length`; zeros, which no query sees, before."""
    parts = []
    for buffer, own in zip(buffers, lengths, strict=True):
        if buffer is None:
            return None
        parts.append(torch.nn.functional.pad(buffer[:, :, :own], (0, 0, length - own, 0)))
    return torch.cat(parts)
