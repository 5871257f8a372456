"""From a corpus of any size to the counts that a vocabulary is learnt from, in bounded memory.

A spread sample of the text is chosen by hash, cut into runs, and the runs are counted in a table of bounded size.
"""

import hashlib
import heapq
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tokenizers import pre_tokenizers

from ..progress import Progress
from .splitting import independent_pieces, words

SAMPLE_PIECE = 16_384  # characters
# UTF-8 bytes in the table of runs, each run counting as ENTRY_COST more. The library's BPE trainer takes some 130 bytes
# for each (measured on Chinese, where nearly all runs differ), so 2 GB at most.
TABLE_LIMIT = 2**24
ENTRY_COST = 8
LONGEST_KNOWN = 32  # characters: longer words hardly come again, and a piece of Chinese can be one
MOST_KNOWN = 2**16  # words whose runs are remembered, some 30 MB


@dataclass(frozen=True)
class Sample:
    """The text that a tokenizer is trained on, in the order of its hashes, and how much text there was.

    In that order any first part is itself spread over the whole corpus: so it is when a table runs full.
    """

    pieces: list[str]
    bytes: int
    offered_texts: int
    offered_bytes: int


@dataclass(frozen=True)
class RunCounts:
    """How often each run was seen. `forgotten` runs (occurrences) fell out of a full table."""

    counts: Counter[str]
    forgotten: int


def sample_text(texts: Iterable[str], limit: int, progress: Progress | None = None) -> Sample:
    """Choose pieces of at most `limit` bytes together: those with the smallest hashes, so the same whatever the order.

    Memory: `limit` bytes of text and one piece, whatever the corpus's size (bottom-k sampling, Cohen & Kaplan 2007).
    """
    kept: list[tuple[int, int, str, int]] = []
    kept_bytes = offered_texts = offered_bytes = 0
    arrival = itertools.count()
    for text in texts:
        offered_texts += 1
        for piece in _bounded_pieces(text):
            encoded = piece.encode()
            priority = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest())
            heapq.heappush(kept, (-priority, -next(arrival), piece, len(encoded)))
            kept_bytes += len(encoded)
            offered_bytes += len(encoded)
            # What goes has `limit` bytes before it in the order of the hashes, and always will: no order of arrival
            # can make another choice.
            while kept_bytes - kept[0][-1] >= limit:
                kept_bytes -= heapq.heappop(kept)[-1]
            if progress:
                progress.advance(len(encoded))
    if kept_bytes > limit:
        kept_bytes -= heapq.heappop(kept)[-1]
    return Sample([piece for _, _, piece, _ in sorted(kept, reverse=True)], kept_bytes, offered_texts, offered_bytes)


def count_runs(sample: Sample, splitter: pre_tokenizers.PreTokenizer, table_limit: int = TABLE_LIMIT) -> RunCounts:
    """Count the runs that `splitter` makes of the sample.

    When the table is full, the rarest runs go until it is half full; among equally rare ones, the latest. A text says the same
    words again and again, so words are counted first, and each is split once.
    """
    counts: Counter[str] = Counter()
    known: dict[str, list[str]] = {}  # the runs of words that were split before
    size = forgotten = 0
    for piece in sample.pieces:
        seen_words = Counter(words(piece))
        if len(known) > MOST_KNOWN:
            known.clear()
        new = _split_words([word for word in seen_words if word not in known], splitter)
        for word, times in seen_words.items():
            for run in new[word] if word in new else known[word]:
                if run not in counts:
                    size += _cost(run)
                counts[run] += times
        known |= {word: runs for word, runs in new.items() if len(word) <= LONGEST_KNOWN}
        if size > table_limit:
            seen = counts.total()
            counts, size = _most_frequent(counts, table_limit // 2)
            forgotten += seen - counts.total()
    return RunCounts(counts, forgotten)


def _split_words(words: list[str], splitter: pre_tokenizers.PreTokenizer) -> dict[str, list[str]]:
    """The runs of each of `words`, which stand in the order of a text: split together, since each call costs as much as ten."""
    runs = iter(splitter.pre_tokenize_str("".join(words)))
    split: dict[str, list[str]] = {}
    for word in words:
        rest, of_word = len(word), []
        while rest:
            run, _ = next(runs)
            of_word.append(run)
            rest -= len(run)
        split[word] = of_word
    return split


def single_characters(sample: Sample) -> RunCounts:
    """Runs of one character each. There are too few different ones for the table to run full."""
    counts: Counter[str] = Counter()
    for piece in sample.pieces:
        counts.update(piece)
    return RunCounts(counts, forgotten=0)


def count_characters(counts: Counter[str]) -> Counter[str]:
    """How often each character was seen."""
    characters: Counter[str] = Counter()
    for run, count in counts.items():
        for character in run:
            characters[character] += count
    return characters


def most_common(counts: Counter[str], limit: int) -> list[str]:
    """The keys by falling count, equal ones in the order of their code points, so the same whatever came first."""
    return [key for key, _ in heapq.nsmallest(limit, counts.items(), key=lambda entry: (-entry[1], entry[0]))]


def split_outside(counts: Counter[str], alphabet: frozenset[str]) -> Counter[str]:
    """Cut every run at the characters outside `alphabet`, which are left out."""
    within: Counter[str] = Counter()
    for run, count in counts.items():
        if alphabet.issuperset(run):
            within[run] += count
            continue
        for known, characters in itertools.groupby(run, alphabet.__contains__):
            if known:
                within["".join(characters)] += count
    return within


def repeated(counts: Counter[str], separator: str, length: int = 4096) -> Iterator[str]:
    """Every run as often as it was seen, for a trainer that counts for itself and takes no counts: in texts of some `length`
    characters, with `separator` behind each, which is in none (`free_character`). One text a run would take longer."""
    text: list[str] = []
    size = 0
    for run, count in counts.items():
        while count:
            times = min(count, length // (len(run) + 1) + 1)
            text.append((run + separator) * times)
            size += times * (len(run) + 1)
            count -= times
            if size >= length:
                yield "".join(text)
                text, size = [], 0
    if text:
        yield "".join(text)


def free_character(counts: Counter[str]) -> str:
    """A character that is in no run: of the last plane, which nobody has given a meaning."""
    taken = set().union(*counts)
    return next(character for character in map(chr, range(sys.maxunicode, 0, -1)) if character not in taken)


def _bounded_pieces(text: str) -> Iterator[str]:
    """Pieces that are cut between words where the text allows it, and never longer than twice SAMPLE_PIECE."""
    for piece in independent_pieces(text, SAMPLE_PIECE):
        step = len(piece) if len(piece) <= 2 * SAMPLE_PIECE else SAMPLE_PIECE
        for start in range(0, len(piece), max(step, 1)):
            yield piece[start : start + step]


def _cost(run: str) -> int:
    return len(run.encode()) + ENTRY_COST


def _most_frequent(counts: Counter[str], limit: int) -> tuple[Counter[str], int]:
    """The most frequent runs that fit into `limit`, in their old order of arrival among equals; and what they take."""
    kept: Counter[str] = Counter()
    size = 0
    for run, count in sorted(counts.items(), key=lambda entry: -entry[1]):
        size += _cost(run)
        if size > limit:
            return kept, size - _cost(run)
        kept[run] = count
    return kept, size
