"""Learning to answer: of a conversation's tokens the answers alone are asked for. Nothing is computed, and nothing learnt, of
what a head would say at the other places."""

from typing import Any

from torch import Tensor, nn

from ..tokens.loader import IGNORED, Batch
from .objectives import CausalObjective, documents


class AnswerObjective(CausalObjective):
    """Predict each token of the answers, the one that ends them included (tokens/dialogues.py)."""

    def __call__(self, model: nn.Module, batch: Batch, carry: Tensor | None) -> tuple[Tensor, None, dict[str, Tensor]]:
        writer: Any = model
        hidden = writer.hidden(batch.inputs, **documents(batch))
        asked = batch.targets != IGNORED
        loss, nats = writer.scored(hidden[asked], batch.targets[asked], self.terms)
        return loss, None, {"nats": nats}
