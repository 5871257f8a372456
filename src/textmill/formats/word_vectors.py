"""Word vectors as text, a line a word: word2vec's format (a line `count dimension` first) and GloVe's (without it).

A file is streamed, and only the words that are asked for are kept, so that millions of others cost no memory.
"""

import contextlib
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..corpus.streams import COMPRESSIONS, Advance, DamagedError, EncodingError, TruncatedError, lines, text_chunks
from ..errors import ModelError
from ..files import atomic_file

LONGEST_LINE = 1 << 20  # characters: some 100,000 numbers, more than any word has
MOST_PROBLEMS = 10
_LONGEST_COUNT = 100  # digits of a number in the first line; more are no count

Lines = Iterator[tuple[int, str]]
"""Lines that hold something, with their numbers."""


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors, (words, dimension) float32. The counts say what else the file held."""

    words: list[str]
    vectors: np.ndarray
    read: int = 0  # vectors in the file, those of words that weren't asked for included
    duplicates: int = 0  # vectors that a word kept came with again, later in the file

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return int(self.vectors.shape[1])


class _LineError(Exception):
    """What is wrong with one line."""


def vector_dimension(path: str | Path) -> int:
    """How many numbers a word has, by the file's first line. Raises ModelError where it doesn't say."""
    with _told_of(path):
        return _begin(_lines(Path(path)))[1]


def read_word_vectors(path: str | Path, wanted: Collection[str] | None = None, advance: Advance | None = None) -> WordVectors:
    """The vectors of the words in `wanted` (default: of all), in the file's order; of a word that comes twice, the first.

    The file may be compressed (.gz, .bz2, .zst); `advance` is called with the bytes read. Other words' numbers are
    counted, and not looked at. Raises ModelError, with all broken lines (ten at most), for too few or too many numbers, for
    what is no number or no finite one, and for a first line that promises another count of words.
    """
    kept: dict[str, np.ndarray] = {}
    problems: list[str] = []
    read = duplicates = 0
    with _told_of(path):
        promised, dimension, numbered = _begin(_lines(Path(path), advance))
        for number, line in numbered:
            read += 1
            try:
                word, numbers = _parted(line, dimension)
                if word in kept:
                    duplicates += 1
                elif wanted is None or word in wanted:
                    kept[word] = _vector(numbers)
            except _LineError as error:
                problems.append(f"{path}, line {number:,}: {error}")
                if len(problems) == MOST_PROBLEMS:
                    raise ModelError(*problems, f"{path}: more lines may be broken; reading stopped there") from None
    if promised is not None and promised != read:
        problems.append(
            f"{path}: its first line promises {promised:,} words, and {read:,} follow; the file was cut, or changed: get "
            "it again, or mend that line"
        )
    if problems:
        raise ModelError(*problems)
    vectors = np.stack(list(kept.values())) if kept else np.zeros((0, dimension), dtype=np.float32)
    return WordVectors(list(kept), vectors, read, duplicates)


def refuse_compressed(path: str | Path) -> None:
    """Raise ModelError where the name of a file to be written promises compression."""
    suffix = Path(path).suffix
    if suffix.lower() in COMPRESSIONS:
        raise ModelError(f"{path}: word vectors are written as plain text; leave out {suffix}, and compress the file after")


def write_word_vectors(path: str | Path, words: Sequence[str], vectors: np.ndarray) -> None:
    """Write (words, dimension) in word2vec's text format, atomically, with all digits of a float32.

    Raises ModelError for a name that promises compression, and for words that the format can't hold.
    """
    refuse_compressed(path)
    if unfit := next((word for word in words if not word or word.split() != [word]), None):
        raise ModelError(f"{unfit!r} can't be written as a word: the format parts words and numbers by blanks")
    with atomic_file(path, "w") as stream:
        stream.write(f"{len(words)} {vectors.shape[1]}\n")
        for word, vector in zip(words, vectors, strict=True):
            stream.write(f"{word} {' '.join(f'{number:.9g}' for number in vector.tolist())}\n")


def _lines(path: Path, advance: Advance | None = None) -> Lines:
    for number, line in enumerate(lines(text_chunks(path, ["utf-8"], advance), LONGEST_LINE), 1):
        if len(line) > LONGEST_LINE:
            raise ModelError(
                f"{path}, line {number:,}: longer than {LONGEST_LINE:,} characters; this is no file of word vectors"
            )
        if line := line.rstrip(" \t\r"):  # word2vec ends each line with a blank
            yield number, line.replace("\t", " ")


def _begin(numbered: Lines) -> tuple[int | None, int, Lines]:
    """How many words the first line promises, if it does; how many numbers a word has; and the lines of words."""
    number, first = next(numbered, (0, ""))
    fields = first.split(" ")
    if len(fields) == 2 and all(field.isascii() and field.isdigit() and len(field) <= _LONGEST_COUNT for field in fields):
        promised, dimension = map(int, fields)
        if promised and dimension:
            return promised, dimension, numbered
    if len(fields) < 2:
        found = f"line {number:,} is {first[:60]!r}" if number else "the file is empty"
        raise _LineError(f"{found}; write a word and its numbers on each line, and `count dimension` or nothing before them")
    return None, len(fields) - 1, itertools.chain([(number, first)], numbered)


def _parted(line: str, dimension: int) -> tuple[str, str]:
    """The word and its numbers. A word may hold blanks, as some in GloVe's files do, if nothing in it looks like a number."""
    blanks = line.count(" ")
    if blanks < dimension:
        raise _LineError(f"{_amount(blanks)} behind {line.partition(' ')[0][:60]!r}, where the first line says {dimension}")
    word, _, numbers = line.partition(" ")
    if blanks > dimension:
        word, *fields = line.rsplit(" ", dimension)
        numbers = " ".join(fields)
        first, *others = word.split(" ")
        if any(map(_is_number, others)):
            raise _LineError(f"{_amount(blanks)} behind {first[:60]!r}, where the first line says {dimension}")
    if not word:
        raise _LineError("begins with a blank, where a word is due")
    return word, numbers


def _amount(count: int) -> str:
    return "1 number" if count == 1 else f"{count:,} numbers"


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _vector(numbers: str) -> np.ndarray:
    """(dimension,) float32."""
    fields = numbers.split(" ")
    try:
        with np.errstate(over="ignore"):
            vector = np.array([float(field) for field in fields]).astype(np.float32)
    except ValueError:
        wrong = next(field for field in fields if not _is_number(field))
        raise _LineError(f"{wrong[:60]!r} is no number") from None
    if not np.isfinite(vector).all():
        wrong = fields[int(np.flatnonzero(~np.isfinite(vector))[0])]
        raise _LineError(f"{wrong!r} is no number that a weight could have")
    return vector


@contextlib.contextmanager
def _told_of(path: str | Path) -> Iterator[None]:
    """Whatever can't be read of the file becomes a ModelError that names it."""
    try:
        yield
    except _LineError as error:
        raise ModelError(f"{path}: {error}") from error
    except EncodingError as error:
        raise ModelError(
            f"{path} is not UTF-8 text: {error.place}: {error.reason}; convert it. word2vec's binary format isn't read: write "
            "such a file as text, as gensim does by `save_word2vec_format(path, binary=False)`"
        ) from error
    except TruncatedError as error:
        raise ModelError(f"{path} is truncated: it ends in the middle; download or copy it again") from error
    except DamagedError as error:
        raise ModelError(f"{path} is damaged, or not compressed as its ending {Path(path).suffix} says ({error})") from error
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist (looked from {Path.cwd()}); give a file of word vectors as text") from error
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}; check that it is a file, and its permissions") from error
