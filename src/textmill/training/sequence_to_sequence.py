"""Objectives of an encoder–decoder: write the target of each source; as pretraining, the spans that were cut out of a text."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from ..models.loss import PLAIN, LossTerms
from ..tokens.loader import Batch
from ..tokens.pairs import PairBatch, pair_batch
from ..tokens.permutation import mix
from ..tokens.spans import SpanCorruption


class SequenceToSequenceObjective:
    """Predict each next token of the target, given the source."""

    def __init__(self, terms: LossTerms = PLAIN):
        self.terms = terms

    def prepare(self, batch: Any, step: int) -> PairBatch:
        return batch

    def count(self, batch: PairBatch) -> int:
        return batch.tokens

    def __call__(self, model: nn.Module, batch: PairBatch, carry: Tensor | None) -> tuple[Tensor, None, dict[str, Tensor]]:
        loss, nats = model(batch.inputs, batch.targets, batch.source, batch.lengths, terms=self.terms)
        return loss, None, {"nats": nats}


class SpanCorruptionObjective(SequenceToSequenceObjective):
    """Write what was cut out of a text (Raffel et al. 2020). What row `r` of step `k` lacks is a function of (seed, k, r).

    `share` of its tokens is cut out. `start_id`: what the decoder reads first; None: the target's last token. Of each row as
    many tokens are left out at its end as the frame of a whole input takes.
    """

    def __init__(self, task: SpanCorruption, start_id: int | None, share: float, seed: int, terms: LossTerms = PLAIN):
        super().__init__(terms)
        self.task, self.start_id, self.share, self.seed = task, start_id, share, seed

    def prepare(self, batch: Batch, step: int) -> PairBatch:
        rows = batch.inputs.numpy()
        rows = rows[:, : rows.shape[1] - len(self.task.prefix) - len(self.task.suffix)]
        pairs = [
            self.task.pair(tokens, self.share, np.random.default_rng(mix(self.seed, step, row)))
            for row, tokens in enumerate(rows)
        ]
        return pair_batch(pairs, self.task.pad_id, self.start_id, batch.pieces)
