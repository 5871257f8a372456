"""The linear layers of any model by the C++ kernels: each `nn.Linear` gives way to a module that multiplies by packed weights.

What stands around them, attention for one, stays torch's; so every family is read with short weights, whatever its shape.
"""

import dataclasses

from torch import Tensor, nn

from ..models.block import FeedForward
from .library import Pool
from .packing import LANES, Packed, product


class PackedLinear(nn.Module):
    """x · Wᵀ + bias, for inference on a CPU."""

    def __init__(self, packed: Packed, inputs: int, pool: Pool):
        super().__init__()
        self.packed, self.inputs, self.pool = packed, inputs, pool

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) -> (…, N)."""
        rows = x.detach().reshape(-1, self.inputs).float()
        return product(self.pool, self.packed, rows).view(*x.shape[:-1], self.packed.outputs)


class PackedFeedForward(nn.Module):
    """A gated feed-forward whose matrices for gates and for what they gate are one, interleaved by blocks of outputs."""

    def __init__(self, replaced: FeedForward, up: PackedLinear):
        super().__init__()
        self.activation, self.up, self.down = replaced.activation, up, replaced.down

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        gates, gated = self.up(x).unflatten(-1, (-1, 2, LANES)).unbind(-2)
        return self.down((self.activation(gates) * gated).flatten(-2))


def rows_of(packed: Packed, first: int, outputs: int) -> Packed:
    """The `outputs` of a matrix from `first` on, a multiple of a block's; nothing is copied."""
    stride = packed.blocks.numel() // -(-packed.outputs // LANES)
    begin, end = first // LANES, -(-(first + outputs) // LANES)
    bias = None if packed.bias is None else packed.bias[begin * LANES : end * LANES]
    return dataclasses.replace(packed, outputs=outputs, blocks=packed.blocks[begin * stride : end * stride], bias=bias)
