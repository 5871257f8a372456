"""Encoder–decoders as guessers of hidden words: the same words as encoders guess, cut out as the spans of pretraining are.

They write the words one after the other, piece by piece; each piece is asked for after those before it as they really are.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..corpus.document import Document
from ..models.count import of_weights
from ..models.encoder_decoder import EncoderDecoder
from ..tokens.pairs import pair_batch
from ..tokens.spans import SpanCorruption, marked
from ..tokens.tokenizer import Tokenizer
from .masked import SHARE, HiddenText, MaskedScore, hidden_words, hide, nats_and_guesses, scores_of_guesses, seed_of

Pair = tuple[list[int], list[int]]


def without_hidden_words(tokenizer: Tokenizer, document: Document) -> np.ndarray:
    """The document's tokens (T,), with a mark in the place of each of the hidden words, or of some in a row."""
    text = hide(tokenizer, document.text, hidden_words(document))
    return marked(text.ids, text.hidden, tokenizer.span_ids)[0]


class SpanScorer:
    """An encoder–decoder as a guesser. A text longer than its context is read in windows one after the other; `batch_size`
    windows run together. Raises TokenizerError where the tokenizer has no marks for spans."""

    def __init__(self, model: EncoderDecoder, tokenizer: Tokenizer, batch_size: int = 16, name: str = "model"):
        self.model, self.tokenizer, self.batch_size, self.name = model, tokenizer, batch_size, name
        self.task = SpanCorruption(tokenizer)
        self.room = model.config.context_length - len(tokenizer.prefix) - len(tokenizer.suffix)
        self.signature: dict[str, Any] = {
            "scorer": "span corruption",
            **of_weights(model),
            "tokenizer": tokenizer.hash,
            "vocabulary_size": tokenizer.vocabulary_size,
            "context": model.config.context_length,
            "masked_words": SHARE,
        }

    def score(self, documents: Sequence[Document]) -> Iterator[MaskedScore]:
        """One symbol a token; marks and ends cost nothing."""
        return scores_of_guesses(self.guess, self.tokenizer, documents)

    def guess(self, texts: Sequence[HiddenText]) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each text the nats of each hidden token, (T,), 0 elsewhere, and the likeliest token for it, (T,)."""
        results = [(np.zeros(len(text.ids)), text.ids.copy()) for text in texts]
        windows = [
            (place, begin, end)
            for place, text in enumerate(texts)
            for begin, end in self._windows(text.hidden)
            if text.hidden[begin:end].any()
        ]
        pairs = [
            self.task.framed(*marked(texts[place].ids[begin:end], texts[place].hidden[begin:end], self.task.marks))
            for place, begin, end in windows
        ]
        for (place, begin, end), (_, target), (nats, guesses) in zip(windows, pairs, self._answers(pairs), strict=True):
            places = begin + np.flatnonzero(texts[place].hidden[begin:end])
            asked = ~np.isin(target, [*self.task.marks, self.task.end_id])
            results[place][0][places], results[place][1][places] = nats[asked], guesses[asked]
        return results

    def bits_per_span_token(self, documents: Sequence[Document]) -> float:
        """The loss of pretraining on these documents, marks and ends included. SHARE of each is cut out, whatever the share in
        training; which tokens these are is a function of the document's id."""
        pairs = []
        for document in documents:
            ids = np.array(self.tokenizer.encode(document.text), dtype=np.int64)
            random = np.random.default_rng(seed_of(document))
            pairs += [self.task.pair(ids[begin:][: self.room], SHARE, random) for begin in range(0, len(ids), self.room)]
        answers = self._answers(pairs)
        return sum(float(nats.sum()) for nats, _ in answers) / math.log(2) / sum(len(nats) for nats, _ in answers)

    def _windows(self, hidden: np.ndarray) -> Iterator[tuple[int, int]]:
        """Stretches of a text that fit into the context, and whose hidden spans there are marks enough for."""
        begin = 0
        while begin < len(hidden):
            end = min(begin + self.room, len(hidden))
            spans = np.flatnonzero(np.diff(hidden[begin:end].astype(int), prepend=0) == 1)
            if len(spans) > len(self.task.marks):
                end = begin + int(spans[len(self.task.marks)])
            yield begin, end
            begin = end

    @torch.no_grad()
    def _answers(self, pairs: Sequence[Pair]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The nats of each token of each target, and the likeliest token in its place."""
        answers: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place][0]))
        start_id = self.model.config.start_id(self.task.pad_id)
        was_training = self.model.training
        self.model.eval()
        try:
            for start in range(0, len(order), self.batch_size):
                places = order[start : start + self.batch_size]
                batch = pair_batch([pairs[place] for place in places], self.task.pad_id, start_id).to(self.model.device)
                hidden = self.model.hidden(batch.inputs, batch.source, batch.lengths)
                answers |= zip(places, nats_and_guesses(self.model.head, hidden, batch.targets), strict=True)
        finally:
            self.model.train(was_training)
        return [answers[place] for place in range(len(pairs))]
