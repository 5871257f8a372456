"""An interpolated, modified Kneser–Ney n-gram over characters: the baseline that a language model has to beat.

It needs no tokenizer, gives every byte string a probability, and trains in seconds; so it also serves as a measure of
text quality. What is a character and what is spelled in bytes, `alphabet.py` says. Counting and scoring are numpy
operations over sorted 64-bit keys.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..errors import CorpusError, ModelError
from .alphabet import END, SMALLEST_BITS, Alphabet

MAXIMUM_ORDER = 64 // SMALLEST_BITS  # a whole n-gram is one 64-bit key
CHUNK = 1 << 20  # symbols scored at once, which bounds the memory for a long document

# Where an order has too few n-grams to estimate its discounts. The values KenLM falls back to (Heafield et al. 2013).
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class _Level:
    """The n-grams of one order k, sorted. A key holds `x(t-1), x(t-2), …, x(t-k+1), x(t)`, highest bits first, so that
    equal contexts stand together and the oldest symbol is shifted out.
    """

    ngrams: np.ndarray  # (N,) uint64
    probabilities: np.ndarray  # (N,) float32, interpolated with all lower orders
    contexts: np.ndarray  # (C,) uint64: the keys' contexts, each once
    backoffs: np.ndarray  # (C,) float32: the mass a context leaves to the lower order


class NgramModel:
    """Modified Kneser–Ney (Chen & Goodman 1998) over an alphabet's symbols. Made by `NgramModel.train`."""

    def __init__(
        self,
        alphabet: Alphabet,
        levels: list[_Level],
        documents_read: int,
        bytes_read: int,
        limit_reached: bool,
        training_sha256: str,
    ):
        self.alphabet = alphabet
        self.order = len(levels)
        self.documents_read = documents_read
        self.bytes_read = bytes_read
        self.limit_reached = limit_reached
        self.training_sha256 = training_sha256
        self._levels = levels

    @classmethod
    def train(cls, texts: Iterable[str | bytes], order: int = 7, limit: int = 20_000_000) -> "NgramModel":
        """Count the n-grams of `texts`, one document each, up to `limit` bytes (a document's end counts as one).

        The order is lower than asked for where the alphabet's symbols are so wide that fewer of them fit a key: five
        Chinese characters do. The document that crosses the limit is cut there; `documents_read`, `bytes_read` and
        `limit_reached` say what was read. Memory: some 30 bytes per byte read for prose, 160 at worst (noise). Raises
        ModelError for an order outside 1 to 7, CorpusError where there is no text.
        """
        if not 1 <= order <= MAXIMUM_ORDER:
            raise ModelError(f"n-gram order {order} is out of range; give one from 1 to {MAXIMUM_ORDER}")
        read = list(take_bytes(texts, limit))
        if not read:
            raise CorpusError("no text to train the n-gram on; give at least one document and a limit above zero")
        alphabet = Alphabet.of(text for text, _ in read)
        order = min(order, 64 // alphabet.bits)
        keys = []
        digest = hashlib.sha256()
        for text, whole in read:
            document_keys = _keys(_padded(alphabet.symbols(text), order), order, alphabet.bits)
            keys.append(document_keys if whole else document_keys[:-1])
            digest.update(text + b"\0" if whole else text)
        bytes_read = sum(len(text) + whole for text, whole in read)
        levels = _levels(np.concatenate(keys), order, alphabet)
        return cls(alphabet, levels, len(read), bytes_read, bytes_read >= limit, digest.hexdigest())

    def arrays(self) -> dict[str, np.ndarray]:
        """All that the model has learnt, by name: with `facts`, what `restore` makes it of again."""
        levels = {
            f"{order}.{field.name}": getattr(level, field.name)
            for order, level in enumerate(self._levels, start=1)
            for field in fields(level)
        }
        return {"characters": self.alphabet.characters, **levels}

    def facts(self) -> dict[str, Any]:
        """What it was trained on, as JSON values."""
        names = ("order", "documents_read", "bytes_read", "limit_reached", "training_sha256")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> "NgramModel":
        """The model that `arrays` and `facts` were taken from. The arrays aren't copied, and may be mapped from a file."""
        orders = range(1, facts["order"] + 1)
        levels = [_Level(**{field.name: arrays[f"{order}.{field.name}"] for field in fields(_Level)}) for order in orders]
        others = {name: value for name, value in facts.items() if name != "order"}
        return cls(Alphabet(arrays["characters"]), levels, **others)

    def nats(self, text: str | bytes) -> np.ndarray:
        """The cost in nats of each symbol of a document and of its end: (symbols + 1,) float64. Always finite."""
        return self.symbol_nats(self.alphabet.symbols(_utf8(text)))

    def symbol_nats(self, symbols: np.ndarray) -> np.ndarray:
        """The same for a document that is given as its alphabet's symbols: (n,) to (n + 1,)."""
        symbols = _padded(symbols, self.order)
        history = self.order - 1
        return np.concatenate(
            [
                self._key_nats(_keys(symbols[start : start + CHUNK + history], self.order, self.alphabet.bits))
                for start in range(0, len(symbols) - history, CHUNK)
            ]
        )

    def likeliest(self, symbols: np.ndarray) -> int:
        """The likeliest symbol, which may be the end, behind a document's first symbols, (n,)."""
        history = _keys(_padded(symbols, self.order)[-self.order :], self.order, self.alphabet.bits)
        every = np.arange(self.alphabet.size, dtype=np.uint64)
        return int(self._key_nats(history >> self.alphabet.bits << self.alphabet.bits | every).argmin())

    def _key_nats(self, keys: np.ndarray) -> np.ndarray:
        """Look each n-gram up in the highest order; what isn't there pays its context's backoff and goes one lower."""
        nats = np.zeros(len(keys))
        pending = np.arange(len(keys))
        for level in reversed(self._levels):
            place, found = _find(level.ngrams, keys)
            nats[pending[found]] -= np.log(level.probabilities[place[found]])
            keys, pending = keys[~found], pending[~found]
            place, found = _find(level.contexts, keys >> self.alphabet.bits)
            nats[pending[found]] -= np.log(level.backoffs[place[found]])
            keys = _without_oldest(keys, self.alphabet.bits)
        nats[pending] += np.log(self.alphabet.size)
        return nats


def take_bytes(texts: Iterable[str | bytes], limit: int) -> Iterator[tuple[bytes, bool]]:
    """Give documents as UTF-8 until `limit` bytes are read, a document's end counted as one byte.

    With each comes whether it is whole: the one that crosses the limit is cut, and the last to be read.
    """
    left = limit
    if left <= 0:
        return
    for text in texts:
        encoded = _utf8(text)
        yield encoded[:left], len(encoded) < left
        left -= len(encoded) + 1
        if left <= 0:
            return


def _utf8(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _padded(symbols: np.ndarray, order: int) -> np.ndarray:
    """A document's symbols, with `order - 1` ends before it as context and its own end after it: uint16."""
    padded = np.full(order - 1 + len(symbols) + 1, END, dtype=np.uint16)
    padded[order - 1 : -1] = symbols
    return padded


def _keys(symbols: np.ndarray, order: int, bits: int) -> np.ndarray:
    """The packed n-gram that ends at each symbol from the `order`-th on: (len(symbols) - order + 1,) uint64."""
    count = len(symbols) - order + 1
    keys = symbols[order - 1 :].astype(np.uint64)
    for age in range(1, order):
        shift = np.uint64(bits * (order - age))
        keys |= symbols[order - 1 - age :][:count].astype(np.uint64) << shift
    return keys


def _without_oldest(keys: np.ndarray, bits: int) -> np.ndarray:
    """The n-grams of the next lower order: the oldest symbol of the context is shifted out."""
    return keys >> 2 * bits << bits | keys & (1 << bits) - 1


def _find(table: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in a sorted table each key stands, or would, and whether it is there."""
    place = np.searchsorted(table, keys)
    np.minimum(place, len(table) - 1, out=place)
    return place, table[place] == keys


def _levels(keys: np.ndarray, order: int, alphabet: Alphabet) -> list[_Level]:
    """Count from the highest order down, then interpolate from the lowest up. `keys` is sorted in place."""
    keys.sort()
    counted = [_distinct(keys)]
    for lower_order in range(order - 1, 0, -1):
        counted.append(_continuations(*counted[-1], alphabet.bits, has_context=lower_order > 1))
    levels: list[_Level] = []
    while counted:
        levels.append(_level(*counted.pop(), alphabet, lower=levels[-1] if levels else None))
    return levels


def _distinct(sorted_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, and how often it stands there: uint32."""
    starts = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    return sorted_keys[starts], np.diff(starts, append=len(sorted_keys)).astype(np.uint32)


def _continuations(ngrams: np.ndarray, counts: np.ndarray, bits: int, has_context: bool) -> tuple[np.ndarray, np.ndarray]:
    """The n-grams one order lower, with Kneser–Ney's counts: how many different symbols stand before each.

    Before a document's beginning nothing can differ, so n-grams that reach there keep their true counts.
    """
    shortened = _without_oldest(ngrams, bits)
    lower, continuations = _distinct(np.sort(shortened))
    if has_context:
        begins = (shortened >> bits) & (1 << bits) - 1 == END
        continuations[np.searchsorted(lower, shortened[begins])] = counts[begins]
    return lower, continuations


def _level(ngrams: np.ndarray, counts: np.ndarray, alphabet: Alphabet, lower: _Level | None) -> _Level:
    """Discount the counts and interpolate with the lower order; the lowest with the uniform distribution."""
    discounts = np.array(_discounts(counts), dtype=np.float32)[np.minimum(counts, 3) - 1]
    contexts = ngrams >> alphabet.bits
    starts = np.flatnonzero(np.r_[True, contexts[1:] != contexts[:-1]])
    contexts = contexts[starts]
    sizes = np.diff(starts, append=len(ngrams))
    totals = np.add.reduceat(counts, starts, dtype=np.int64)
    backoffs = (np.add.reduceat(discounts, starts, dtype=np.float64) / totals).astype(np.float32)
    probabilities = (counts - discounts).astype(np.float32)
    probabilities /= np.repeat(totals.astype(np.float32), sizes)
    if lower is None:
        probabilities += np.repeat(backoffs, sizes) / alphabet.size
    else:
        shorter = np.searchsorted(lower.ngrams, _without_oldest(ngrams, alphabet.bits))
        probabilities += np.repeat(backoffs, sizes) * lower.probabilities[shorter]
    return _Level(ngrams, probabilities, contexts, backoffs)


def _discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """What is taken from counts of one, of two, and of three or more (Chen & Goodman 1998, equation 26)."""
    once, twice, thrice, four_times = (int(np.count_nonzero(counts == count)) for count in (1, 2, 3, 4))
    if not (once and twice and thrice):
        return FALLBACK_DISCOUNTS
    ratio = once / (once + 2 * twice)
    discounts = (ratio, 2 - 3 * ratio * thrice / twice, 3 - 4 * ratio * four_times / thrice)
    # Outside of this a symbol would have no probability at all, or a context more than it has seen.
    sound = all(0 < discount <= count for count, discount in enumerate(discounts, start=1))
    return discounts if sound else FALLBACK_DISCOUNTS
