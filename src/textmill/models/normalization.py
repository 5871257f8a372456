"""RMSNorm: x / root-mean-square(x) * weight (Zhang & Sennrich 2019), with its gradient written out.

On a CPU torch computes both in a dozen passes over memory; written out they take about half as many.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .fused import FusedOperations


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


def plain_norm(x: Tensor, weight: Tensor, bias: Tensor | None, takes_mean: bool, epsilon: float) -> Tensor:
    """Layer norm of the last dimension where it `takes_mean`, else RMS norm: what fused ones are measured by."""
    if takes_mean:
        return nn.functional.layer_norm(x, weight.shape, weight, bias, epsilon)
    return _RMSNorm.apply(x, weight, epsilon)


class RMSNorm(nn.Module):
    """RMSNorm over the last dimension, of `width` entries."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))
        self.fused: FusedOperations | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = None if self.fused is None else self.fused.norm(x, self.weight, None, False, self.epsilon)
        return plain_norm(x, self.weight, None, False, self.epsilon) if y is None else y


class LayerNorm(nn.LayerNorm):
    """torch's own (Ba et al. 2016), which takes the mean away too."""

    fused: FusedOperations | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = None if self.fused is None else self.fused.norm(x, self.weight, self.bias, True, self.eps)
        return super().forward(x) if y is None else y


def make_norm(width: int, kind: str, epsilon: float, bias: bool = False) -> nn.Module:
    """The norm that a shape names: `rms` or `layer`."""
    return RMSNorm(width, epsilon) if kind == "rms" else LayerNorm(width, epsilon, bias=bias)
