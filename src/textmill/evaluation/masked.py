"""Encoders side by side: some words of each document are hidden, the same ones from every system, and have to be guessed.

Which words these are is a function of the document's id and text, whatever the tokenizer. A word is right if all its pieces
are; its bits are those of its pieces, guessed at once.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..corpus.document import Document
from ..errors import ModelError
from ..models.count import of_weights
from ..models.encoder import Encoder
from ..tokens.loader import IGNORED
from ..tokens.tokenizer import Tokenizer
from .scorers import NATS_PER_BYTE
from .words import word_spans

SHARE = 0.15  # of a document's words
LOGIT_ROWS = 1024  # places whose logits exist at once
DOCUMENTS_AT_ONCE = 64  # more means less padding, and more windows in memory


@dataclass(frozen=True)
class MaskedScore:
    """What a system made of one document: of `words` hidden words it guessed `right` ones, and they cost it `nats`; over
    `tokens` symbols."""

    id: str
    source: str
    words: int
    right: int
    nats: float
    tokens: int

    @property
    def bits(self) -> float:
        """Bits per masked word."""
        return self.nats / math.log(2) / self.words

    @property
    def size(self) -> str:
        """How many words were hidden."""
        return f"{self.words:,} words"


class MaskedScorer(Protocol):
    """Something that guesses hidden words."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def signature(self) -> dict[str, Any]:
        """Whatever someone needs to get the same numbers: plain JSON values."""

    def score(self, documents: Sequence[Document]) -> Iterator[MaskedScore]:
        """The scores of those documents that have words, in the documents' order."""


def seed_of(document: Document) -> int:
    """What chance begins with where a document's words or spans are chosen: a function of its id."""
    return int.from_bytes(hashlib.sha256(document.id.encode(errors="backslashreplace")).digest()[:8])


def hidden_words(document: Document) -> list[tuple[int, int]]:
    """The characters [begin, end) of each word that is to be guessed: SHARE of the words, one at least, in their order."""
    spans = word_spans(document.text)
    if not spans:
        return []
    order = np.random.default_rng(seed_of(document)).permutation(len(spans))
    return [spans[word] for word in sorted(order[: max(1, round(SHARE * len(spans)))])]


@dataclass(frozen=True)
class HiddenText:
    """A document's tokens `ids` (T,), which of them are `hidden` (T,), and the places [begin, end) of each hidden word's."""

    ids: np.ndarray
    hidden: np.ndarray
    words: list[tuple[int, int]]


def hide(tokenizer: Tokenizer, text: str, words: Sequence[tuple[int, int]]) -> HiddenText:
    """Every token that stands for a character of one of the `words` is hidden."""
    [(ids, spans)] = tokenizer.encode_with_spans([text])
    begins, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    hidden = np.zeros(len(ids), dtype=bool)
    places = []
    for begin, end in words:
        first, last = int(np.searchsorted(ends, begin, side="right")), int(np.searchsorted(begins, end, side="left"))
        hidden[first:last] = True
        places.append((first, last))
    return HiddenText(np.array(ids, dtype=np.int64), hidden, places)


class EncoderScorer:
    """An encoder as a guesser. A text longer than its context is read in windows one after the other, each a whole input to
    it; `batch_size` windows run together."""

    def __init__(self, model: Encoder, tokenizer: Tokenizer, batch_size: int = 16, name: str = "model"):
        if model.head is None or tokenizer.mask_id is None:
            missing = "head for masked tokens" if model.head is None else "mask among its tokens"
            raise ModelError(f"{name} has no {missing}, so it can't guess hidden words; give an encoder trained to do so")
        self.model, self.tokenizer, self.batch_size, self.name = model, tokenizer, batch_size, name
        self.mask_id = tokenizer.mask_id
        self.room = model.config.context_length - len(tokenizer.prefix) - len(tokenizer.suffix)
        self.signature = {
            "scorer": "masked language model",
            **of_weights(model),
            "tokenizer": tokenizer.hash,
            "vocabulary_size": tokenizer.vocabulary_size,
            "context": model.config.context_length,
            "masked_words": SHARE,
        }

    def score(self, documents: Sequence[Document]) -> Iterator[MaskedScore]:
        """One symbol a token."""
        return scores_of_guesses(self.guess, self.tokenizer, documents)

    def guess(self, texts: Sequence[HiddenText]) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each text the nats of each hidden token, (T,), 0 elsewhere, and the likeliest token for it, (T,)."""
        results = [(np.zeros(len(text.ids)), text.ids.copy()) for text in texts]
        windows = [
            (place, begin)
            for place, text in enumerate(texts)
            for begin in range(0, len(text.ids), self.room)
            if text.hidden[begin : begin + self.room].any()
        ]
        windows.sort(key=lambda window: len(texts[window[0]].ids) - window[1])
        was_training = self.model.training
        self.model.eval()
        try:
            for start in range(0, len(windows), self.batch_size):
                batch = windows[start : start + self.batch_size]
                found = self._run([(texts[place], begin) for place, begin in batch])
                for (place, begin), (nats, guesses) in zip(batch, found, strict=True):
                    places = begin + np.flatnonzero(texts[place].hidden[begin : begin + self.room])
                    results[place][0][places], results[place][1][places] = nats, guesses
        finally:
            self.model.train(was_training)
        return results

    @torch.no_grad()
    def _run(self, windows: Sequence[tuple[HiddenText, int]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The nats and the guesses of each window's hidden tokens."""
        rows, targets = [], []
        for text, begin in windows:
            ids, hidden = (values[begin : begin + self.room] for values in (text.ids, text.hidden))
            rows.append(torch.tensor([*self.tokenizer.prefix, *np.where(hidden, self.mask_id, ids), *self.tokenizer.suffix]))
            before, after = ([IGNORED] * len(frame) for frame in (self.tokenizer.prefix, self.tokenizer.suffix))
            targets.append(torch.tensor([*before, *np.where(hidden, ids, IGNORED), *after]))
        lengths = torch.tensor([len(row) for row in rows], device=self.model.device)
        inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.model.device)
        wanted = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORED)
        return nats_and_guesses(self.model.head, self.model.hidden(inputs, lengths=lengths), wanted)


def nats_and_guesses(head: Any, hidden: Tensor, targets: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each row of hidden states (B, T, D) what its targets (B, T) cost under `head`, in nats, and the likeliest tokens in
    their places, both in their order; -100 is no target."""
    wanted = targets != IGNORED
    chosen, states = targets[wanted].to(hidden.device), hidden[wanted.to(hidden.device)]
    nats, guesses = [], []
    for some, these in zip(states.split(LOGIT_ROWS), chosen.split(LOGIT_ROWS), strict=True):
        logarithms = head(some).float().log_softmax(dim=-1)
        nats.append(-logarithms.gather(1, these[:, None])[:, 0])
        guesses.append(logarithms.argmax(dim=-1))
    cuts = np.cumsum(wanted.sum(dim=1).cpu().numpy())[:-1]
    found = (torch.cat(nats).cpu().double().numpy(), torch.cat(guesses).cpu().numpy())
    return list(zip(*(np.split(values, cuts) for values in found), strict=True))


def scores_of_guesses(
    guess: Callable[[Sequence[HiddenText]], list[tuple[np.ndarray, np.ndarray]]],
    tokenizer: Tokenizer,
    documents: Sequence[Document],
) -> Iterator[MaskedScore]:
    """The scores of those documents that have words. `guess` gives for each text the nats of each hidden token, (T,), 0
    elsewhere, and the likeliest token for it, (T,). A word that the tokenizer can't spell is wrong, and costs 8 bits a byte."""
    for start in range(0, len(documents), DOCUMENTS_AT_ONCE):
        part = [(document, words) for document in documents[start:][:DOCUMENTS_AT_ONCE] if (words := hidden_words(document))]
        texts = [hide(tokenizer, document.text, words) for document, words in part]
        for (document, words), text, (nats, guesses) in zip(part, texts, guess(texts), strict=True):
            right = text.ids == guesses
            total, count = float(nats.sum()), 0
            for (begin, end), (first, last) in zip(words, text.words, strict=True):
                if first == last or tokenizer.unknown_id in text.ids[first:last]:
                    total += len(document.text[begin:end].encode()) * NATS_PER_BYTE
                else:
                    count += bool(right[first:last].all())
            yield MaskedScore(document.id, document.source, len(words), count, total, int(text.hidden.sum()))


def bits_per_masked_token(scorer: MaskedScorer, documents: Sequence[Document]) -> float:
    """What a training loop asks for now and then. Raises ModelError where the documents have no words."""
    nats, tokens = 0.0, 0
    for score in scorer.score(documents):
        nats, tokens = nats + score.nats, tokens + score.tokens
    if not tokens:
        raise ModelError("the held-out documents have no words to hide; keep a larger share of the corpus for validation")
    return nats / math.log(2) / tokens


def with_guesses(scorer: EncoderScorer, document: Document) -> str:
    """The document's text with some words hidden, and in brackets what stands there instead: the guesses."""
    words = hidden_words(document)
    text = hide(scorer.tokenizer, document.text, words)
    [(_, guesses)] = scorer.guess([text])
    [(_, spans)] = scorer.tokenizer.encode_with_spans([document.text])
    shown, reached = [], 0
    for (begin, end), (first, last) in zip(words, text.words, strict=True):
        begin, end = min(begin, spans[first][0]), max(end, spans[last - 1][1])  # a piece may hold a hyphen beside the word
        begin += len(document.text[begin:end]) - len(document.text[begin:end].lstrip())
        shown += [document.text[reached:begin], "[", scorer.tokenizer.decode(guesses[first:last].tolist()).strip(), "]"]
        reached = end
    return "".join([*shown, document.text[reached:]])


def beginning(document: Document, characters: int) -> Document:
    """The first characters of a document, as one of its own."""
    return dataclasses.replace(document, text=document.text[:characters])
