"""Room for many sequences at once, each of its own length: the buffers that an engine allocates once, whatever comes and goes.

The rows in use are always the first ones: where one is freed, the last moves into its place. So a batch of them is a view, and
a step copies nothing that was read before. What a view holds is a generation state, which the models read and write as ever.
"""

import contextlib
import math
import mmap
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from .recurrent_state import RecurrentState
from .state import EncoderDecoderState, KeyValueState


class Slots(Protocol):
    """Room for `capacity` rows. `keeps_past`: whether a row's state still holds what it was some tokens ago."""

    capacity: int
    keeps_past: ClassVar[bool]

    def view(self, first: int, lengths: Sequence[int]) -> Any:
        """A generation state of the rows from `first` on, which have read so many tokens each. What they read, the slots
        keep."""
        ...

    def move(self, source: int, target: int, length: int) -> None:
        """Put the first `length` tokens of one row into another's place."""
        ...

    def clear(self, row: int) -> None:
        """Let the row begin anew."""
        ...

    @property
    def bytes(self) -> int:
        """What all rows take at most."""
        ...


class PieceSlots(Slots, Protocol):
    """Slots whose rows' states can be taken apart by their tokens, and put together in another row."""

    def piece(self, row: int, start: int, end: int, length: int) -> list[Tensor] | None:
        """A copy of what the tokens `[start, end)` of a row, which has read `length`, have made of its state; None where that
        isn't to be had any more."""
        ...

    def load(self, row: int, pieces: Sequence[list[Tensor]], size: int) -> None:
        """Give a fresh row the pieces of its first tokens, `size` tokens each."""
        ...


class KeyValueSlots:
    """Keys and values of `capacity` rows of up to `length` tokens.

    They begin as zeros, since what a mask hides must still be a number; the system gives such memory once it is written."""

    keeps_past = True

    def __init__(self, layers: int, capacity: int, heads: int, head_dim: int, length: int, dtype: torch.dtype, device: Any):
        self.capacity, self.length = capacity, length
        shape = capacity, heads, length, head_dim
        self.keys = [untouched_zeros(shape, dtype, device) for _ in range(layers)]
        self.values = [untouched_zeros(shape, dtype, device) for _ in range(layers)]

    def view(self, first: int, lengths: Sequence[int]) -> "KeyValueView":
        """A state of the rows from `first` on."""
        return KeyValueView(self, first, lengths)

    def move(self, source: int, target: int, length: int) -> None:
        """Put the first `length` tokens of one row into another's place."""
        for buffer in (*self.keys, *self.values):
            buffer[target, :, :length] = buffer[source, :, :length]

    def clear(self, row: int) -> None:
        """Nothing is to be done: what stands behind a row's length isn't seen."""

    def piece(self, row: int, start: int, end: int, length: int) -> list[Tensor] | None:
        """The keys and values of these tokens."""
        return [buffer[row, :, start:end].clone() for buffer in (*self.keys, *self.values)]

    def load(self, row: int, pieces: Sequence[list[Tensor]], size: int) -> None:
        """Give a fresh row the pieces of its first tokens, `size` tokens each."""
        for number, piece in enumerate(pieces):
            for buffer, part in zip((*self.keys, *self.values), piece, strict=True):
                buffer[row, :, number * size : (number + 1) * size] = part

    @property
    def bytes(self) -> int:
        """What all rows take once each is full."""
        return sum(buffer.nbytes for buffer in (*self.keys, *self.values))


class KeyValueView(KeyValueState):
    """The state of some rows of a `KeyValueSlots`. Where they have read unlike numbers of tokens, `length` is the longest's."""

    def __init__(self, slots: KeyValueSlots, first: int, lengths: Sequence[int]):
        keys = slots.keys[0]
        super().__init__(len(slots.keys), len(lengths), keys.size(1), keys.size(3), slots.length)
        self.length = max(lengths)
        rows = slice(first, first + len(lengths))
        self._keys = [buffer[rows] for buffer in slots.keys]
        self._values = [buffer[rows] for buffer in slots.values]
        self.device = keys.device
        self._lengths = torch.tensor(lengths, device=keys.device) if min(lengths) < self.length else None

    def places(self, tokens: int) -> Tensor | None:
        """Where the next `tokens` of each row stand, (N, tokens); None where all rows are as long."""
        if self._lengths is None:
            return None
        return self._lengths[:, None] + torch.arange(tokens, device=self._lengths.device)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add a layer's keys and values (N, K, T, d), each row's behind its own; returns what the longest row reaches."""
        places = self.places(key.size(2))
        if places is None:
            return super().append(layer, key, value)
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        rows = torch.arange(len(key), device=key.device)[:, None]
        keys[rows, :, places] = key.transpose(1, 2)
        values[rows, :, places] = value.transpose(1, 2)
        return self.reach(layer, key.size(2))

    def reach(self, layer: int, tokens: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, two of (N, K, length + tokens, d), up to those that its longest row reads now."""
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        end = self.length + tokens
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, tokens: int) -> None:
        """Count `tokens` more as read, in every row."""
        super().advance(tokens)
        if self._lengths is not None:
            self._lengths = self._lengths + tokens


class FixedView(KeyValueView):
    """The first `rows` rows of a `KeyValueSlots`, which read one token each at `standing` (rows,), anywhere below `reach`.

    No shape in it depends on how much was read: each row looks at `reach` places, of which a mask hides those behind its own.
    So all that a model launches for it stays the same from token to token, and can be recorded once.
    """

    def __init__(self, slots: KeyValueSlots, rows: int, reach: int):
        super().__init__(slots, 0, [reach - 1] * rows)
        self.standing = torch.zeros(rows, dtype=torch.int64, device=self.device)

    def places(self, tokens: int) -> Tensor:
        """Where the next token of each row stands, (rows, 1)."""
        return self.standing[:, None]

    def advance(self, tokens: int) -> None:
        """Nothing is to be counted: who gives the tokens says where they stand."""


class EncoderDecoderSlots(KeyValueSlots):
    """The same with each row's memory of its source, of up to `length` tokens too."""

    def __init__(self, layers: int, capacity: int, heads: int, head_dim: int, length: int, dtype: torch.dtype, device: Any):
        super().__init__(layers, capacity, heads, head_dim, length, dtype, device)
        shape = capacity, heads, length, head_dim
        self.memory = [(untouched_zeros(shape, dtype, device), untouched_zeros(shape, dtype, device)) for _ in range(layers)]
        self.source_lengths = torch.zeros(capacity, dtype=torch.int64, device=device)

    def remember(self, row: int, state: EncoderDecoderState) -> None:
        """Give a row the source that the one row of `state` has read."""
        length = state.memory[0][0].size(2)
        for (key, value), (own_key, own_value) in zip(state.memory, self.memory, strict=True):
            own_key[row, :, :length], own_value[row, :, :length] = key[0], value[0]
        self.source_lengths[row] = length

    def view(self, first: int, lengths: Sequence[int]) -> "EncoderDecoderView":
        """A state of the rows from `first` on."""
        return EncoderDecoderView(self, first, lengths)

    def move(self, source: int, target: int, length: int) -> None:
        """Put the first `length` tokens of one row, and its memory, into another's place."""
        super().move(source, target, length)
        read = int(self.source_lengths[source])
        for pair in self.memory:
            for buffer in pair:
                buffer[target, :, :read] = buffer[source, :, :read]
        self.source_lengths[target] = read

    @property
    def bytes(self) -> int:
        """What all rows take once each is full."""
        return super().bytes + sum(buffer.nbytes for pair in self.memory for buffer in pair)


class EncoderDecoderView(KeyValueView, EncoderDecoderState):
    """The state of some rows of an `EncoderDecoderSlots`."""

    def __init__(self, slots: EncoderDecoderSlots, first: int, lengths: Sequence[int]):
        super().__init__(slots, first, lengths)
        rows = slice(first, first + len(lengths))
        read = slots.source_lengths[rows]
        longest = int(read.max())
        self.remember([(key[rows, :, :longest], value[rows, :, :longest]) for key, value in slots.memory], read)


class RecurrentSlots:
    """The hidden vectors of `capacity` rows, (capacity, L, P, D)."""

    keeps_past = False

    def __init__(self, values: Tensor):
        self.capacity, self.values = len(values), values

    def view(self, first: int, lengths: Sequence[int]) -> "RecurrentView":
        """A state of the rows from `first` on."""
        return RecurrentView(self.values[first : first + len(lengths)], max(lengths))

    def move(self, source: int, target: int, length: int) -> None:
        """Put one row into another's place."""
        self.values[target] = self.values[source]

    def clear(self, row: int) -> None:
        """Let the row have read nothing."""
        self.values[row] = 0.0

    def piece(self, row: int, start: int, end: int, length: int) -> list[Tensor] | None:
        """The hidden vectors behind `end` tokens, which a row has only until it reads on."""
        return [self.values[row].clone()] if end == length else None

    def load(self, row: int, pieces: Sequence[list[Tensor]], size: int) -> None:
        """Give a fresh row the last of these pieces: it stands for all."""
        if pieces:
            self.values[row] = pieces[-1][0]

    @property
    def bytes(self) -> int:
        """What all rows take."""
        return self.values.nbytes


class RecurrentView(RecurrentState):
    """The state of some rows of a `RecurrentSlots`."""

    def advance(self, values: Tensor, tokens: int) -> None:
        """Remember `values` instead, in the slots too, after `tokens` more."""
        self.values.copy_(values)
        self.length += tokens


def untouched_zeros(shape: tuple[int, ...], dtype: torch.dtype, device: Any) -> Tensor:
    """Zeros that take no memory until they are written, where torch writes them all. In small pages: the first token of a row
    would else have the system clear 2 MB for each head, which takes longer than computing it, and mostly stays unused."""
    if torch.device(device).type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    pages = mmap.mmap(-1, math.prod(shape) * dtype.itemsize)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without large pages
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(shape)
