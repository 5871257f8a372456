"""Which tensor of a GGUF file is which of the stock class in transformers, and how its numbers are ordered in each.

An architecture lists its counterparts by GGUF's names (llama.py, gpt2.py, bert.py); here they are checked and exchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ModelError


@dataclass(frozen=True)
class Counterpart:
    """`name` and `shape` in the stock class. `transposed`: GGUF has the matrix the other way round, as GPT-2's stock class
    keeps (in, out). `rotary_heads`: GGUF has the rows of each of so many heads in pairs (0, d/2, 1, d/2 + 1, …), as Llama was
    published; the stock class has all first halves, then all second ones."""

    name: str
    shape: tuple[int, ...]
    transposed: bool = False
    rotary_heads: int = 0

    @property
    def gguf_shape(self) -> tuple[int, ...]:
        """The shape in a GGUF file, as torch counts."""
        return tuple(reversed(self.shape)) if self.transposed else self.shape


Counterparts = Mapping[str, Counterpart]
Shape = tuple[int, ...]


def check_shapes(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> None:
    """Raises ModelError with every tensor that is missing, unknown or of another shape."""
    problems = [f"tensor {name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"tensor {name} is not one of this architecture's" for name in found.keys() - expected.keys()]
    problems += [
        f"tensor {name} has shape {found[name]}, by the model's settings it has {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        raise ModelError(*sorted(problems))


def to_stock(tensor: Tensor, counterpart: Counterpart) -> Tensor:
    """A GGUF file's tensor as the stock class has it."""
    if counterpart.transposed:
        return tensor.T.contiguous()
    return _reordered(tensor, counterpart.rotary_heads, paired=True)


def to_gguf(tensor: Tensor, counterpart: Counterpart) -> Tensor:
    """The stock class's tensor as a GGUF file has it."""
    if counterpart.transposed:
        return tensor.T.contiguous()
    return _reordered(tensor, counterpart.rotary_heads, paired=False)


def _reordered(tensor: Tensor, heads: int, paired: bool) -> Tensor:
    """The rows of each head from pairs to halves (`paired`), or from halves to pairs."""
    if not heads:
        return tensor
    shape = (heads, -1, 2) if paired else (heads, 2, -1)
    return torch.swapaxes(tensor.reshape(*shape, *tensor.shape[1:]), 1, 2).reshape(tensor.shape)
