"""The linear layers of any model by the C++ kernels: each `nn.Linear` gives way to a module that multiplies by packed weights,
and the table of embeddings to one that reads packed rows.

What stands around them, attention for one, stays torch's; so every family is read with short weights, whatever its shape.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..models.block import FeedForward
from ..models.recurrent import GRU, LSTM, RNN, Cell
from .library import Pool
from .packing import LANES, Packed, product, rows


class PackedLinear(nn.Module):
    """x · Wᵀ + bias, for inference on a CPU."""

    def __init__(self, packed: Packed, inputs: int, pool: Pool):
        super().__init__()
        self.packed, self.inputs, self.pool = packed, inputs, pool

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) -> (…, N)."""
        rows = x.detach().reshape(-1, self.inputs).float()
        return product(self.pool, self.packed, rows).view(*x.shape[:-1], self.packed.outputs)


class PackedEmbedding(nn.Module):
    """A table of embeddings that is kept as a packed matrix, the head's own where they are tied: a row is made when it is asked
    for."""

    def __init__(self, packed: Packed, width: int):
        super().__init__()
        self.packed, self.width = packed, width

    def forward(self, ids: Tensor) -> Tensor:
        """ids (…) -> (…, D)."""
        return rows(self.packed, ids.reshape(-1).long(), self.width).view(*ids.shape, self.width)


class PackedFeedForward(nn.Module):
    """A gated feed-forward whose matrices for gates and for what they gate are one, interleaved by blocks of outputs."""

    def __init__(self, replaced: FeedForward, up: PackedLinear, down: PackedLinear):
        super().__init__()
        self.activation, self.up, self.down = replaced.activation, up, down

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        gates, gated = self.up(x).unflatten(-1, (-1, 2, LANES)).unbind(-2)
        return self.down((self.activation(gates) * gated).flatten(-2))


class PackedCell(nn.Module):
    """A recurrent cell, written out: all products of the inputs in one, and then, step by step, those of what is remembered."""

    def __init__(self, replaced: Cell, input: PackedLinear, hidden: PackedLinear):
        super().__init__()
        self.step, self.input, self.hidden = STEPS[type(replaced)], input, hidden

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, D), `before` (B, P, D) -> (B, T, D), and what is remembered after it, (B, P, D)."""
        found = []
        for of_inputs in self.input(x).unbind(1):
            before = self.step(of_inputs, self.hidden(before[:, 0]), before)
            found.append(before[:, 0])
        return torch.stack(found, dim=1), before


def _lstm(inputs: Tensor, hidden: Tensor, before: Tensor) -> Tensor:
    enters, stays, new, shows = (inputs + hidden).chunk(4, dim=-1)
    cell = stays.sigmoid() * before[:, 1] + enters.sigmoid() * new.tanh()
    return torch.stack([shows.sigmoid() * cell.tanh(), cell], dim=1)


def _gru(inputs: Tensor, hidden: Tensor, before: Tensor) -> Tensor:
    (reset, keep, new), (of_reset, of_keep, of_new) = inputs.chunk(3, dim=-1), hidden.chunk(3, dim=-1)
    kept = (keep + of_keep).sigmoid()
    candidate = (new + (reset + of_reset).sigmoid() * of_new).tanh()
    return (candidate + kept * (before[:, 0] - candidate))[:, None]


def _rnn(inputs: Tensor, hidden: Tensor, before: Tensor) -> Tensor:
    return (inputs + hidden).tanh()[:, None]


# The products of an input and of the hidden vector (B, G · D), and what is remembered (B, P, D) -> what is remembered next, the
# hidden vector first.
STEPS: dict[type[Cell], Callable[[Tensor, Tensor, Tensor], Tensor]] = {LSTM: _lstm, GRU: _gru, RNN: _rnn}


def rows_of(packed: Packed, first: int, outputs: int) -> Packed:
    """The `outputs` of a matrix from `first` on, a multiple of a block's; nothing is copied."""
    stride = packed.blocks.numel() // -(-packed.outputs // LANES)
    begin, end = first // LANES, -(-(first + outputs) // LANES)
    bias = None if packed.bias is None else packed.bias[begin * LANES : end * LANES]
    return dataclasses.replace(packed, outputs=outputs, blocks=packed.blocks[begin * stride : end * stride], bias=bias)
