"""Weights in the order in which the kernels read them (products.h): blocks of sixteen outputs, an input's sixteen side by side.

In 8 bits a weight is a whole number from -128 to 127 times a scale, and in 4 one from 0 to 15 times a scale, above a lowest
value; these belong to a group of 32 inputs and stand in 16 bits behind its numbers, those of 8 bits with 128 added. Four inputs
of an output lie side by side, as one instruction multiplies them; of eight, in 4 bits, the first four are the low halves of
bytes and the others the high ones.
"""

import ctypes
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .library import LinearStruct, Pool, WeightsStruct, library

LANES, GROUP = 16, 32
Format = Literal["float32", "int8", "int4"]
FORMATS: tuple[Format, ...] = ("float32", "int8", "int4")
LEVELS: dict[Format, int] = {"int8": 256, "int4": 16}
ENDS: dict[Format, int] = {"int8": 1, "int4": 2}  # of a group, in 16 bits each: its scale, and its lowest value
MIDDLE = 128  # the number of 8 bits that stands for zero
PIECE = 2**14  # groups of sixteen outputs that are packed at once: what they need stays in the processor's cache


@dataclass(frozen=True)
class Packed:
    """A matrix (outputs, inputs) for the kernels: its bytes, its bias (outputs, padded) or None, and the unit of its scales."""

    format: Format
    outputs: int
    inputs: int  # padded
    blocks: Tensor
    bias: Tensor | None
    unit: float = 1.0

    def struct(self) -> LinearStruct:
        """As the library takes it, while this object lives."""
        weights = WeightsStruct(FORMATS.index(self.format), self.unit, self.outputs, self.inputs, self.blocks.data_ptr())
        return LinearStruct(weights, None if self.bias is None else self.bias.data_ptr())

    def weight(self) -> Tensor:
        """The weights (outputs, inputs) that the bytes stand for."""
        blocks = -(-self.outputs // LANES)
        if self.format == "float32":
            columns = self.blocks.view(torch.float32).view(blocks, -1, LANES)
        else:
            groups = self.blocks.view(blocks, self.inputs // GROUP, -1)
            behind = 2 * LANES * ENDS[self.format]
            numbers, ends = groups[..., :-behind], groups[..., -behind:].contiguous().view(torch.float16)
            if self.format == "int4":
                numbers = torch.stack([halves.unflatten(-1, (-1, LANES, 4)) for halves in (numbers & 15, numbers >> 4)], dim=3)
            numbers = numbers.reshape(blocks, -1, GROUP // 4, LANES, 4).transpose(3, 4).flatten(2, 3)
            scales, lowest = _scales_and_lowest(ends.float().unflatten(-1, (-1, 1, LANES)).movedim(2, 0))
            columns = self.unit * (numbers * scales + lowest).flatten(1, 2)
        return columns.transpose(1, 2).flatten(0, 1)[: self.outputs]


def wider(format: Format) -> Format:
    """The format of those matrices of a model in which 4 bits cost too much: they have 8."""
    return "int8" if format == "int4" else format


def pack(weight: Tensor, bias: Tensor | None, format: Format) -> Packed:
    """Weights (outputs, inputs), and a bias (outputs), as the kernels read them; what is missing of a block is zeros."""
    outputs, inputs = weight.shape
    blocks, groups = -(-outputs // LANES), -(-inputs // GROUP)
    if bias is not None:
        bias = torch.nn.functional.pad(bias.detach().float(), (0, blocks * LANES - outputs)).contiguous()
    padded = torch.zeros(blocks * LANES, groups * GROUP)
    padded[:outputs, :inputs] = weight.detach().float()
    columns = padded.view(blocks, LANES, -1).transpose(1, 2).contiguous()
    if format == "float32":
        return Packed(format, outputs, groups * GROUP, columns.view(torch.uint8).flatten(), bias)
    # A power of two, which loses no digits, so that 16 bits hold scales and lowest values of any size.
    unit = 2.0 ** (math.frexp(float(padded.abs().amax()))[1] - 14)
    pieces = [_short(piece, unit, format) for piece in columns.view(-1, GROUP, LANES).split(PIECE)]
    return Packed(format, outputs, groups * GROUP, torch.cat(pieces).flatten(), bias, unit)


def _short(weights: Tensor, unit: float, format: Format) -> Tensor:
    """Groups of weights (N, GROUP, LANES) as bytes (N, …)."""
    ends = _fit(weights, format).div_(unit).half()
    scales, lowest = _scales_and_lowest(ends.float().mul_(unit)[:, :, None])
    inverse = torch.where(scales != 0, 1 / scales, 0.0)
    numbers = (weights - lowest).mul_(inverse).round_().clamp_(0, LEVELS[format] - 1).to(torch.uint8)
    numbers = numbers.view(-1, GROUP // 4, 4, LANES).transpose(2, 3)
    if format == "int4":
        numbers = numbers[:, ::2] | numbers[:, 1::2] << 4
    return torch.cat([numbers.flatten(1), ends.transpose(0, 1).flatten(1).view(torch.uint8)], dim=1)


def _scales_and_lowest(ends: Tensor) -> tuple[Tensor, Tensor]:
    """Those of a group's two ends (2, …), or of its scale alone (1, …)."""
    scales = ends[0]
    return scales, ends[1] if len(ends) > 1 else -MIDDLE * scales


def _fit(weights: Tensor, format: Format) -> Tensor:
    """The scales, and in 4 bits the lowest values, (ENDS, N, LANES) with the least squared error (fitting.h)."""
    pool, ends = Pool(torch.get_num_threads()), weights.new_empty(ENDS[format], len(weights), LANES)
    lowest = ends[1].data_ptr() if format == "int4" else None
    library().functions.textmill_fit(pool.pointer, weights.data_ptr(), len(weights), ends.data_ptr(), lowest)
    return ends


def product(pool: Pool, packed: Packed, x: Tensor) -> Tensor:
    """x (rows, inputs) float32 times the matrix: (rows, outputs)."""
    if missing := packed.inputs - x.size(1):  # else it would be copied
        x = torch.nn.functional.pad(x, (0, missing))
    x = x.contiguous()
    y = torch.empty(len(x), packed.outputs)
    linear = packed.struct()
    if not library().functions.textmill_product(pool.pointer, ctypes.byref(linear), x.data_ptr(), len(x), y.data_ptr()):
        raise MemoryError(f"no memory for a product of {len(x):,} rows")
    return y


def rows(packed: Packed, numbers: Tensor, width: int) -> Tensor:
    """What the rows of a matrix that have these numbers (N,) stand for, in float32: (N, width). Raises IndexError where there
    is none of a number."""
    numbers, found = numbers.contiguous(), torch.empty(len(numbers), width)
    weights = packed.struct().weights
    if not library().functions.textmill_rows(ctypes.byref(weights), numbers.data_ptr(), *found.shape, found.data_ptr()):
        raise IndexError(f"the table has {packed.outputs:,} rows, found {numbers.tolist()}")
    return found
