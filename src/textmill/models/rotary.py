"""Rotary position embedding: pairs of dimensions are turned by an angle that grows with the position.

Su et al. 2021, "RoFormer". The pairs are (i, i + d/2), the layout of Llama and Qwen in transformers.
"""

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


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn x (B, H, T, d) by the angles whose cosines and sines are given, (B or 1, 1, T, d / 2)."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
