"""RMSNorm: x / root-mean-square(x) * weight (Zhang & Sennrich 2019), with its gradient written out.

On a CPU torch computes both in a dozen passes over memory; written out they take about half as many.
"""

from typing import Any

import torch
from torch import Tensor, nn


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        # 1 / rms, (…, 1), in one pass over x, and in float32 where x is shorter
        precision = torch.promote_types(x.dtype, torch.float32)
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=precision).square_() / x.size(-1)
        inverse = mean_square.add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse.to(x.dtype)).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        x, weight, inverse = ctx.saved_tensors
        normalised = x * inverse.to(x.dtype)
        product = (gradient * normalised).flatten(0, -2)  # (N, width)
        weight_gradient = product.sum(dim=0)
        # d/dx = (g·w - n · mean(g·w·n)) / rms, where n is the normalised x
        mean = torch.mv(product, (weight / x.size(-1)).to(product.dtype)).view(inverse.shape)
        x_gradient = (gradient * weight).addcmul_(normalised, mean, value=-1).mul_(inverse.to(x.dtype))
        return x_gradient, weight_gradient, None


class RMSNorm(nn.Module):
    """RMSNorm over the last dimension, of `width` entries."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return _RMSNorm.apply(x, self.weight, self.epsilon)


def make_norm(width: int, kind: str, epsilon: float, bias: bool = False) -> nn.Module:
    """The norm that a shape names: `rms`, or `layer` (Ba et al. 2016), which also takes the mean away."""
    return RMSNorm(width, epsilon) if kind == "rms" else nn.LayerNorm(width, epsilon, bias=bias)
