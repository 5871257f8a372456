"""A model that reads on and on as a scorer: each document is one stream, whatever its length."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..corpus.document import Document
from .scorers import BATCHES_SORTED_TOGETHER, DocumentScore, ModelScorer, ScoringTokenizer, Window

CHUNK = 256  # tokens of each row that are read at once; memory grows with it, and the figures don't depend on it


class StreamScorer(ModelScorer):
    """A language model without a limit to its context, which has `new_state(rows)` and `token_nats(inputs, targets, state)`.

    A document is read from its beginning to its end, CHUNK tokens at a time, with what the model remembers carried along: each
    target sees all that stands before it. `batch_size` documents of about one length run together.
    """

    def __init__(self, model: torch.nn.Module, tokenizer: ScoringTokenizer, batch_size: int = 16, name: str = "model"):
        super().__init__(model, tokenizer, CHUNK, batch_size, name)
        self.signature = {**self.signature, "context": None, "stride": None}

    def score(self, documents: Sequence[Document]) -> Iterator[DocumentScore]:
        """One symbol a token, and one for the end. Lost bytes cost 8 bits each."""
        size = BATCHES_SORTED_TOGETHER * self.batch_size
        for pool in (documents[start : start + size] for start in range(0, len(documents), size)):
            streams = [self._tokens(document) for document in pool]
            nats = np.zeros(len(pool))
            longest_first = sorted(range(len(pool)), key=lambda place: -len(streams[place]))
            for start in range(0, len(pool), self.batch_size):
                rows = longest_first[start : start + self.batch_size]
                nats[rows] = self._stream_nats([streams[row] for row in rows])
            for document, stream, cost in zip(pool, streams, nats):
                yield self._finish(document, float(cost), len(stream) - 1)

    def _stream_nats(self, streams: Sequence[np.ndarray]) -> np.ndarray:
        """The cost of each of these streams, the longest first; one that has ended is read no further."""
        state: Any = self.model.new_state(len(streams))
        nats = np.zeros(len(streams))
        for start in range(0, len(streams[0]) - 1, CHUNK):
            going_on = sum(len(stream) - 1 > start for stream in streams)
            state = state.select(torch.arange(going_on, device=self.model.device))
            chunk = [
                Window(row, stream[start : start + CHUNK + 1][:-1], stream[start + 1 : start + CHUNK + 1])
                for row, stream in enumerate(streams[:going_on])
            ]
            nats[:going_on] += self._window_nats(chunk, state)
        return nats


def scorer_of(model: Any, tokenizer: ScoringTokenizer, batch_size: int, name: str) -> ModelScorer:
    """A language model as a scorer: read as streams where it has no limit, else in windows of its context."""
    if model.context_limit is None:
        return StreamScorer(model, tokenizer, batch_size, name)
    return ModelScorer(model, tokenizer, model.context_limit, batch_size, name)
