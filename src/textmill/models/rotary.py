"""Rotary position embedding: pairs of dimensions are turned by an angle that grows with the position.

Su et al. 2021, "RoFormer". The pairs are (i, i + d/2), the layout of Llama and Qwen in transformers.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Rotary(nn.Module):
    """Cosines and sines for `context_length` positions of heads of `head_dim` dimensions."""

    def __init__(self, context_length: int, head_dim: int, theta: float):
        super().__init__()
        frequencies = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        angles = torch.outer(torch.arange(context_length, dtype=torch.float32), frequencies)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        self.cosine: Tensor
        self.sine: Tensor

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """positions (B or 1, T) -> cosines and sines, each (B or 1, 1, T, head_dim / 2)."""
        return self.cosine[positions].unsqueeze(1), self.sine[positions].unsqueeze(1)


class _Rotate(torch.autograd.Function):
    """The rotation, whose gradient is the rotation back: a few passes over x, where torch would take ten."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _turned(x, cosine, sine, direction=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turned(gradients[0], cosine, sine, direction=-1), None, None


def _turned(x: Tensor, cosine: Tensor, sine: Tensor, direction: int) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    new_first = (first * cosine).addcmul_(second, sine, value=-direction)
    new_second = (second * cosine).addcmul_(first, sine, value=direction)
    return torch.cat((new_first, new_second), dim=-1)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn x (B, H, T, d) by the angles whose cosines and sines are given, (B or 1, 1, T, d / 2)."""
    return _Rotate.apply(x, cosine.to(x.dtype), sine.to(x.dtype))
