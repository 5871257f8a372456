"""Weights in the order in which the kernels read them (products.h): blocks of sixteen outputs, an input's sixteen side by side.

In 8 bits, and in 4, a group of 32 inputs shares a scale, which stands in 16 bits behind them: four inputs of an output lie side
by side, as one instruction multiplies them; of eight, the first four are the low halves of bytes and the others the high ones.
"""

import ctypes
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .library import LinearStruct, Pool, WeightsStruct, library

LANES, GROUP = 16, 32
Format = Literal["float32", "int8", "int4"]
FORMATS: tuple[Format, ...] = ("float32", "int8", "int4")


@dataclass(frozen=True)
class Packed:
    """A matrix (outputs, inputs) for the kernels: its bytes, and its bias (outputs, padded), or None."""

    format: Format
    outputs: int
    inputs: int  # padded
    blocks: Tensor
    bias: Tensor | None

    def struct(self) -> LinearStruct:
        """As the library takes it, while this object lives."""
        weights = WeightsStruct(FORMATS.index(self.format), self.outputs, self.inputs, self.blocks.data_ptr())
        return LinearStruct(weights, None if self.bias is None else self.bias.data_ptr())


def pack(weight: Tensor, bias: Tensor | None, format: Format) -> Packed:
    """Weights (outputs, inputs), and a bias (outputs), as the kernels read them; what is missing of a block is zeros."""
    outputs, inputs = weight.shape
    blocks, groups = -(-outputs // LANES), -(-inputs // GROUP)
    padded = torch.zeros(blocks * LANES, groups * GROUP)
    padded[:outputs, :inputs] = weight.detach().float()
    if bias is not None:
        bias = torch.nn.functional.pad(bias.detach().float(), (0, blocks * LANES - outputs)).contiguous()
    if format == "float32":
        packed = padded.view(blocks, LANES, -1).transpose(1, 2).contiguous().view(torch.uint8).flatten()
        return Packed(format, outputs, groups * GROUP, packed, bias)
    whole, scales = rounded(padded, format)
    if format == "int8":
        numbers = (whole + 128).to(torch.uint8).view(blocks, LANES, groups, GROUP // 4, 4).permute(0, 2, 3, 1, 4)
    else:
        halves = (whole + 8).to(torch.uint8).view(blocks, LANES, groups, GROUP // 8, 2, 4)
        numbers = (halves[..., 0, :] | halves[..., 1, :] << 4).permute(0, 2, 3, 1, 4)
    of_groups = scales.half().view(blocks, LANES, groups).transpose(1, 2).contiguous().view(torch.uint8)
    packed = torch.cat([numbers.reshape(blocks, groups, -1), of_groups], dim=-1).flatten()
    return Packed(format, outputs, groups * GROUP, packed, bias)


def rounded(weight: Tensor, format: Format) -> tuple[Tensor, Tensor]:
    """Weights (N, K) as whole numbers of the same shape and the scale of each group (N, K / GROUP), whose product is near
    them: in 8 bits the largest is 127, in 4 it is 7."""
    most = 127 if format == "int8" else 7
    groups = weight.view(len(weight), -1, GROUP)
    scales = (groups.abs().amax(dim=-1) / most).half().float()
    divisors = torch.where(scales > 0, scales, 1.0)[..., None]
    return (groups / divisors).round().clamp(-most, most).view_as(weight), scales


def product(pool: Pool, packed: Packed, x: Tensor) -> Tensor:
    """x (rows, inputs) float32 times the matrix: (rows, outputs)."""
    x = torch.nn.functional.pad(x, (0, packed.inputs - x.size(1))).contiguous()
    y = torch.empty(len(x), packed.outputs)
    scratch = torch.empty(2 * x.numel() * pool.threads, dtype=torch.uint8)
    linear = packed.struct()
    pointers = x.data_ptr(), len(x), y.data_ptr(), scratch.data_ptr()
    library().functions.textmill_product(pool.pointer, ctypes.byref(linear), *pointers)
    return y
