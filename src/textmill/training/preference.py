"""Direct preference optimisation (Rafailov et al. 2023): of two answers to the same question the preferred one is to become
likelier, against what both were to the model that learning began with, which is asked once beforehand."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..tokens.loader import IGNORED
from ..tokens.preferences import PreferenceBatch

TOKENS_AT_ONCE = 256  # whose logits exist at a time; they are computed once more on the way back


def answer_log_probabilities(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """The natural logarithm of each row's answer's probability, (B,), with gradients, of inputs and targets (B, T)."""
    asked = targets != IGNORED
    hidden, wanted = model.hidden(inputs)[asked], targets[asked]

    def nats(rows: Tensor, of: Tensor) -> Tensor:
        return F.cross_entropy(model.head(rows).float(), of, reduction="none")

    parts = zip(hidden.split(TOKENS_AT_ONCE), wanted.split(TOKENS_AT_ONCE), strict=True)
    found = torch.cat([checkpoint(nats, *part, use_reentrant=False) for part in parts])
    return -torch.zeros(len(inputs), device=inputs.device).index_add(0, asked.nonzero()[:, 0], found)


def margins(log_probabilities: Tensor, reference: Tensor) -> Tensor:
    """How much further the preferred answer rose than the other, (B,) in nats, of rows (2B,) that alternate."""
    chosen, rejected = (log_probabilities - reference).view(-1, 2).unbind(dim=1)
    return chosen - rejected


class PreferenceObjective:
    """-log σ(β · margin), summed over pairs. `beta` says how dear it is to move away from where learning began."""

    def __init__(self, beta: float):
        self.beta = beta

    def prepare(self, batch: PreferenceBatch, step: int) -> PreferenceBatch:
        return batch

    def count(self, batch: PreferenceBatch) -> int:
        return len(batch.inputs) // batch.pieces

    def __call__(
        self, model: nn.Module, batch: PreferenceBatch, carry: Tensor | None
    ) -> tuple[Tensor, None, dict[str, Tensor]]:
        found = margins(answer_log_probabilities(model, batch.inputs, batch.targets), batch.reference)
        loss = -F.logsigmoid(self.beta * found).sum()
        return loss, None, {"nats": loss.detach()}
