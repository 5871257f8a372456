"""What a model is trained to do. It counts what a batch teaches, before any forward, and gives the loss's sum.

The loop divides by the count over the whole batch, so that micro-batching doesn't change the gradient.
"""

from typing import Any, Protocol

from torch import Tensor, nn

from ..tokens.loader import Batch


class Objective(Protocol):
    """(model, batch, carry) -> (sum of the loss in nats, carry, metrics). The loop knows no more of it than this."""

    def count(self, batch: Batch) -> int:
        """How many targets of the batch count towards the loss."""
        ...

    def __call__(self, model: nn.Module, batch: Batch, carry: Any) -> tuple[Tensor, Any, dict[str, float]]: ...


class CausalObjective:
    """Predict each next token."""

    def count(self, batch: Batch) -> int:
        return batch.tokens

    def __call__(self, model: nn.Module, batch: Batch, carry: Any) -> tuple[Tensor, Any, dict[str, float]]:
        positions = batch.positions if batch.segments is not None else None
        return model(batch.inputs, batch.targets, positions, batch.segments), carry, {}
