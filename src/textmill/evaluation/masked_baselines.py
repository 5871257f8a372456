"""What hidden words can be guessed by without any model: how often each word is, and which word stands before."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..corpus.document import Document
from ..errors import CorpusError
from ..models.ngram import take_bytes
from .masked import SHARE, MaskedScore, hidden_words
from .scorers import NATS_PER_BYTE
from .words import word_spans, words_of


class WordCounts:
    """How often each word of a text is, and how often it follows each other word. Reads `limit` bytes at most."""

    def __init__(self, texts: Iterable[str], limit: int = 20_000_000):
        self.words: Counter[str] = Counter()
        self.following: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.read_bytes = 0
        for content, _ in take_bytes(texts, limit):
            self.read_bytes += len(content)
            words = words_of(content.decode("utf-8", "ignore"))
            self.words.update(words)
            for word, follower in itertools.pairwise(words):
                self.following[word][follower] += 1
        if not self.words:
            raise CorpusError("the training text has no words for a baseline to count; give at least one document with some")
        self.total = self.words.total()


class WordScorer:
    """Guesses the word that is most frequent, or, with `neighbours`, after the word before it, where that isn't hidden too.

    Probabilities by Witten & Bell 1991; a word never seen is spelt at 8 bits a byte.
    """

    def __init__(self, counts: WordCounts, neighbours: bool):
        self.counts, self.neighbours = counts, neighbours
        self.name = "word before" if neighbours else "frequent word"
        self.likeliest = counts.words.most_common(1)[0][0]
        self.signature: dict[str, Any] = {
            "scorer": "word bigram, Witten–Bell" if neighbours else "word unigram, Witten–Bell",
            "training_bytes": counts.read_bytes,
            "masked_words": SHARE,
        }

    def score(self, documents: Sequence[Document]) -> Iterator[MaskedScore]:
        """One symbol a word."""
        for document in documents:
            words = hidden_words(document)
            if not words:
                continue
            before = self._words_before(document.text, words)
            wanted = [_plain(document.text[begin:end]) for begin, end in words]
            right = sum(self._guess(left) == word for left, word in zip(before, wanted))
            nats = -sum(math.log(self._probability(word, left)) for left, word in zip(before, wanted))
            yield MaskedScore(document.id, document.source, len(words), right, nats, len(words))

    def _words_before(self, text: str, hidden: Sequence[tuple[int, int]]) -> list[str | None]:
        """The word before each hidden one; None where that is hidden, or isn't asked."""
        if not self.neighbours:
            return [None] * len(hidden)
        spans, left_out = word_spans(text), set(hidden)
        before: dict[tuple[int, int], str | None] = {}
        for (begin, end), span in itertools.pairwise(spans):
            before[span] = None if (begin, end) in left_out else _plain(text[begin:end])
        return [before.get(span) for span in hidden]

    def _guess(self, left: str | None) -> str:
        following = self.counts.following.get(left) if left is not None else None
        return following.most_common(1)[0][0] if following else self.likeliest

    def _probability(self, word: str, left: str | None) -> float:
        kinds, total = len(self.counts.words), self.counts.total
        spelt = math.exp(-NATS_PER_BYTE * (len(word.encode()) + 1))
        alone = (self.counts.words[word] + kinds * spelt) / (total + kinds)
        following = self.counts.following.get(left) if left is not None else None
        if not following:
            return alone
        return (following[word] + len(following) * alone) / (following.total() + len(following))


def _plain(word: str) -> str:
    """A word as `words_of` spells it."""
    return next(iter(words_of(word)), word)
