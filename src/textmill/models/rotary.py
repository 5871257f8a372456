"""Rotary position embedding: pairs of dimensions are turned by an angle that grows with the position.

Su et al. 2021, "RoFormer". The pairs are (i, i + d/2), the layout of Llama and Qwen in transformers.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from .config import RopeScaling
from .positions import without_memory


def rotary_frequencies(head_dim: int, theta: float, scaling: RopeScaling | None = None) -> Tensor:
    """The angle that each pair of dimensions turns by per token, (head_dim / 2,) in radians."""
    frequencies = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    if scaling is None:
        return frequencies
    slowed = frequencies / scaling.factor
    if scaling.kind == "linear":
        return slowed
    if scaling.kind == "llama3":
        turns = scaling.original_context * frequencies / (2 * math.pi)  # within the original context
        kept = (turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor)
        kept = kept.clamp(0, 1)
        return kept * frequencies + (1 - kept) * slowed

    def dimension(turns: float) -> float:
        """The pair of dimensions that turns so often within the original context."""
        return head_dim * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    first = max(math.floor(dimension(scaling.beta_fast)), 0)
    last = min(math.ceil(dimension(scaling.beta_slow)), head_dim - 1)
    ramp = (torch.arange(head_dim // 2, dtype=torch.float32) - first) / max(last - first, 1e-3)
    ramp = ramp.clamp(0, 1)
    return slowed * ramp + frequencies * (1 - ramp)


def attention_factor(scaling: RopeScaling | None) -> float:
    """What queries and keys are each multiplied by: YaRN's temperature, else 1."""
    if scaling is None or scaling.kind != "yarn":
        return 1.0
    return scaling.attention_factor if scaling.attention_factor is not None else 0.1 * math.log(scaling.factor) + 1.0


class Rotary(nn.Module):
    """Cosines and sines for `context_length` positions of heads of `head_dim` dimensions."""

    def __init__(self, context_length: int, head_dim: int, theta: float, scaling: RopeScaling | None = None):
        super().__init__()
        if without_memory():
            cosine, sine = (torch.empty(context_length, head_dim // 2, dtype=torch.float32) for _ in range(2))
        else:
            frequencies = rotary_frequencies(head_dim, theta, scaling)
            angles = torch.outer(torch.arange(context_length, dtype=torch.float32), frequencies)
            factor = attention_factor(scaling)
            cosine, sine = angles.cos() * factor, angles.sin() * factor
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
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
