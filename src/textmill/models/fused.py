"""Parts of a step that somebody can compute faster than torch's operations one by one: the seam between models and kernels.

A model knows the plain way for each; who drives it may hand it such operations (`LanguageModel.set_fused`), as training
does with the C++ ones (native/training.py). Each gives None for what it can't do, and then the plain way is taken.
"""

from typing import Protocol

from torch import Tensor, nn

Rotation = tuple[Tensor, Tensor]


class FusedOperations(Protocol):
    """The same numbers as the plain ways, within rounding, and the same gradients."""

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor | None, takes_mean: bool, epsilon: float) -> Tensor | None:
        """Layer norm, or RMS norm, of the last dimension."""
        ...

    def turned(self, x: Tensor, weight: Tensor | None, epsilon: float, rotation: Rotation | None) -> Tensor | None:
        """Heads (B, T, H, d), normalised where there is a weight (d,) and turned where there is a rotation: (B, H, T, d)."""
        ...

    def feed_forward(self, x: Tensor, gate: nn.Linear | None, up: nn.Linear, down: nn.Linear, activation: str) -> Tensor | None:
        """down(activation(gate(x)) · up(x)), or without a gate down(activation(up(x)))."""
        ...

    def attention(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor | None:
        """What queries (B, H, T, d) find in key and value (B, K, S, d), without a mask: (B, T, H · d)."""
        ...

    def cross_entropy(
        self, logits: Tensor, targets: Tensor, bias: Tensor | None, smoothing: float, z_loss: float
    ) -> Tensor | None:
        """Logits (N, V), which become their gradient, and targets (N,) -> sums of the loss and of its plain nats, (2,)."""
        ...
