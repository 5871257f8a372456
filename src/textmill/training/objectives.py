"""What a model is trained to do. It counts what a batch teaches, before any forward, and gives the loss's sum.

The loop divides by the count over the whole batch, so that micro-batching doesn't change the gradient.
"""

from typing import Any, Protocol

from torch import Tensor, nn

from ..models.loss import PLAIN, LossTerms
from ..tokens.loader import Batch


class Objective(Protocol):
    """(model, batch, carry) -> (sum of the loss, carry, metrics). The loop knows no more of it than this.

    `metrics["nats"]` is the sum of the plain loss in nats, without what training may add to it: that is what is shown.
    """

    def count(self, batch: Batch) -> int:
        """How many targets of the batch count towards the loss."""
        ...

    def __call__(self, model: nn.Module, batch: Batch, carry: Any) -> tuple[Tensor, Any, dict[str, Tensor]]: ...


class CausalObjective:
    """Predict each next token."""

    def __init__(self, terms: LossTerms = PLAIN):
        self.terms = terms

    def count(self, batch: Batch) -> int:
        return batch.tokens

    def __call__(self, model: nn.Module, batch: Batch, carry: Any) -> tuple[Tensor, Any, dict[str, Tensor]]:
        positions = batch.positions if batch.segments is not None else None
        loss, nats = model(batch.inputs, batch.targets, positions, batch.segments, terms=self.terms)
        return loss, carry, {"nats": nats}
