"""Learning from labels: whole texts, or their tokens, and what a task's head is to say of them."""

from typing import Any

import torch
from torch import Tensor, nn

from ..models.heads import Head
from ..tokens.texts import TextBatch


class LabelObjective:
    """The loss of a task's head (models/heads.py). `class_weights` (labels,) weigh each text or token by its label; with a mean
    of 1 over what is learnt from they don't change the learning rate."""

    def __init__(self, head: Head, class_weights: Tensor | None = None, label_smoothing: float = 0.0):
        self.head, self.class_weights, self.label_smoothing = head, class_weights, label_smoothing

    def prepare(self, batch: TextBatch, step: int) -> TextBatch:
        return batch

    def count(self, batch: TextBatch) -> int:
        return self.head.count(batch.targets)

    def __call__(self, model: nn.Module, batch: TextBatch, carry: Tensor | None) -> tuple[Tensor, None, dict[str, Tensor]]:
        outputs = model(batch.inputs, lengths=batch.lengths)
        head: Any = model.head
        nats = head.loss(outputs, batch.targets)
        if self.class_weights is None and not self.label_smoothing:
            return nats, None, {"nats": nats.detach()}
        loss = head.loss(outputs, batch.targets, self.class_weights, self.label_smoothing)
        return loss, None, {"nats": nats.detach()}


def balanced_weights(labels: Tensor, count: int) -> Tensor:
    """(count,) weights with which every label counts as much, and a text 1 on the average; of label numbers (N,)."""
    found = torch.bincount(labels, minlength=count).float()
    return len(labels) / (found.clamp(min=1) * (found > 0).sum())
