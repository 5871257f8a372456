"""A text as a stream of word numbers in a temporary file, and the pairs of near words that skip-gram learns from.

Only the vocabulary and one stretch of the stream are in memory, however long the text is.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from ..errors import TrainingError
from ..evaluation.words import words_of

END = -1  # stands between two documents
PAIRS_AT_ONCE = 1 << 19  # about: what is made, mixed and learnt from before the next stretch is read
READ_AT_ONCE = 1 << 20

_RARE = -2


class _Numbers(dict[str, int]):
    """Gives each word that is met the next number."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


@contextlib.contextmanager
def word_stream(texts: Iterable[str], minimum_count: int) -> Iterator["WordStream"]:
    """Read `texts` once, into a temporary file that lasts as long as this context: four bytes a word.

    Words are lower-cased. Memory: some hundred bytes for each different word. Raises TrainingError where fewer than two
    words come `minimum_count` times or more.
    """
    with tempfile.TemporaryFile(prefix="textmill-") as file:
        numbers = _Numbers({"": 0})  # no word is empty, so this one ends the documents
        for text in texts:
            found = words_of(text.lower())
            file.write(np.fromiter(map(numbers.__getitem__, [*found, ""]), np.int32, len(found) + 1).tobytes())
        counts = np.zeros(len(numbers), dtype=np.int64)
        for part in _read(file, READ_AT_ONCE):
            counts += np.bincount(part, minlength=len(numbers))
        counts[0] = 0
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] >= max(minimum_count, 1)]
        if len(order) < 2:
            raise TrainingError(
                f"{len(order)} of {len(numbers) - 1:,} different words come {minimum_count:,} times or more; give more text, "
                "or lower --minimum-count"
            )
        places = np.full(len(numbers), _RARE, dtype=np.int32)
        places[order] = np.arange(len(order), dtype=np.int32)
        places[0] = END
        spelled = list(numbers)
        yield WordStream([spelled[number] for number in order], counts[order], places, file)


@dataclass(frozen=True)
class WordStream:
    """The words that come often enough, the most frequent first; and their stream, in the order of the texts."""

    words: list[str]
    counts: np.ndarray  # how often each word stands in the texts: (words,) int64
    places: np.ndarray  # for each number in the file its word's place in `words`, or END, or _RARE
    file: IO[bytes]

    def stretches(self, length: int) -> Iterator[np.ndarray]:
        """The whole text in stretches of `length` words or fewer: the place of each in `words`, and END between documents."""
        for part in _read(self.file, length):
            places = self.places[part]
            yield places[places != _RARE]


def _read(file: IO[bytes], length: int) -> Iterator[np.ndarray]:
    file.seek(0)
    while data := file.read(4 * length):
        yield np.frombuffer(data, dtype=np.int32)


def stretch_length(window: int) -> int:
    """How many words to take at once, so that they give about PAIRS_AT_ONCE pairs."""
    return max(PAIRS_AT_ONCE // (window + 1), 2 * window)


def near_pairs(
    stretch: np.ndarray, keep: np.ndarray, window: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Each word of a stretch with its near ones, (pairs,) and (pairs,) int64, mixed.

    A word stays with its probability in `keep`, (words,): the frequent ones mostly go (Mikolov et al. 2013), and those behind
    draw near. Each then reaches a distance drawn from 1 to `window`, so that nearer words count more. Pairs across the ends of
    a document are none; those across the ends of a stretch are left out.
    """
    documents = np.cumsum(stretch == END)
    stays = (stretch != END) & (generator.random(len(stretch)) < np.append(keep, 0.0)[stretch])
    places, documents = stretch[stays].astype(np.int64), documents[stays]
    reach = generator.integers(1, window + 1, len(places))
    centres, contexts = [], []
    for distance in range(1, min(window, len(places) - 1) + 1):
        left, right = places[:-distance], places[distance:]
        together = documents[:-distance] == documents[distance:]
        forward, backward = (together & (of >= distance) for of in (reach[:-distance], reach[distance:]))
        centres += [left[forward], right[backward]]
        contexts += [right[forward], left[backward]]
    if not centres:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    mixed = generator.permutation(sum(map(len, centres)))
    return np.concatenate(centres)[mixed], np.concatenate(contexts)[mixed]
