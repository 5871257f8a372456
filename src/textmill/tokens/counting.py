"""From a corpus of any size to the counts that a vocabulary is learnt from, in bounded memory.

A spread sample of the text is chosen by hash, cut into runs, and the runs are counted in a table of bounded size.
"""

import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tokenizers import pre_tokenizers

from ..progress import Progress
from .splitting import independent_pieces

SAMPLE_PIECE = 16_384  # characters
# UTF-8 bytes in the table of runs, each run counting as ENTRY_COST more. The library's BPE trainer takes some 130 bytes
# for each (measured on Chinese, where nearly all runs differ), so 2 GB at most.
TABLE_LIMIT = 2**24
ENTRY_COST = 8


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

    When the table is full, the rarest runs go until it is half full; among equally rare ones, the latest.
    """
    counts: Counter[str] = Counter()
    size = forgotten = 0
    for piece in sample.pieces:
        for run, _ in splitter.pre_tokenize_str(piece):
            if run not in counts:
                size += _cost(run)
            counts[run] += 1
        if size > table_limit:
            seen = counts.total()
            counts, size = _most_frequent(counts, table_limit // 2)
            forgotten += seen - counts.total()
    return RunCounts(counts, forgotten)


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


def repeated(counts: Counter[str], batch: int = 4096) -> Iterator[list[str]]:
    """Every run as often as it was seen, for a trainer that counts for itself and takes no counts."""
    for run, count in counts.items():
        for start in range(0, count, batch):
            yield [run] * min(batch, count - start)


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
