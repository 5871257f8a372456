"""The logits' gradients, compiled into few passes over them: for devices that the C++ kernels don't compute on.

On a GPU the plain way reads and writes the logits a dozen times, which takes longer than the products beside it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..models.fused import Rotation
from ..models.loss import logit_gradient


def into_gradient(logits: Tensor, targets: Tensor, smoothing: float, z_loss: float, bias: Tensor | None) -> Tensor:
    """Logits (N, V) become their gradient; the sums of loss and nats, (2,)."""
    gradient, sums = logit_gradient(logits.float(), targets, smoothing, z_loss, bias)
    logits.copy_(gradient)
    return sums


class CompiledLoss:
    """A `FusedOperations` that makes the loss alone, by what `compile` makes of the plain way."""

    def __init__(self, compile: Callable[[Callable[..., Any]], Callable[..., Any]] = torch.compile):
        self._into_gradient = compile(into_gradient)

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor | None, takes_mean: bool, epsilon: float) -> None:
        return None

    def turned(self, x: Tensor, weight: Tensor | None, epsilon: float, rotation: Rotation | None) -> None:
        return None

    def feed_forward(self, x: Tensor, gate: nn.Linear | None, up: nn.Linear, down: nn.Linear, activation: str) -> None:
        return None

    def attention(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> None:
        return None

    def cross_entropy(self, logits: Tensor, targets: Tensor, bias: Tensor | None, smoothing: float, z_loss: float) -> Tensor:
        return self._into_gradient(logits, targets, smoothing, z_loss, bias)
