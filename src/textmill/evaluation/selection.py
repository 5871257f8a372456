"""Which documents are scored: a choice by hash, the same on every machine and whatever order the documents come in."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..corpus.document import Document
from ..errors import CorpusError
from .scorers import hash_order


@dataclass(frozen=True)
class Selection:
    """The documents to be scored, and what was left out for want of room."""

    documents: list[Document]
    bytes: int
    left_out_documents: int
    left_out_bytes: int


class NothingChosenError(CorpusError):
    """There was no document, or none that fits."""


def choose_documents(documents: Iterable[Document], maximum_bytes: int) -> Selection:
    """Take documents in the order of their ids' hashes for as long as they fit in `maximum_bytes` (ends counted).

    The choice doesn't depend on the order they come in, and holds little more than `maximum_bytes` in memory. A
    document that is larger than that by itself is left out. Raises NothingChosenError where none fits.
    """
    kept: list[tuple[int, int, Document]] = []  # a heap: the greatest hash first, to be given up first
    size = left_out_documents = left_out_bytes = 0
    ceiling = 1 << 512  # no hash is as great
    for position, document in enumerate(documents):
        length = len(document.text.encode(errors="replace")) + 1
        order = int.from_bytes(hash_order(document))
        if length > maximum_bytes or order >= ceiling:
            left_out_documents, left_out_bytes = left_out_documents + 1, left_out_bytes + length
            continue
        heapq.heappush(kept, (-order, -position, document))
        size += length
        while size > maximum_bytes:
            negative_order, _, given_up = heapq.heappop(kept)
            given_up_length = len(given_up.text.encode(errors="replace")) + 1
            # Nothing past it may come in later: it would be a choice by the order of arrival.
            ceiling = -negative_order
            size -= given_up_length
            left_out_documents, left_out_bytes = left_out_documents + 1, left_out_bytes + given_up_length
    if not kept:
        raise NothingChosenError(
            f"none of the {left_out_documents} documents to evaluate on fits in maximum_bytes = {maximum_bytes};"
            " give a greater evaluate.maximum_bytes or --maximum-bytes, or more documents"
        )
    chosen = [document for _, _, document in sorted(kept, reverse=True, key=lambda entry: entry[:2])]
    return Selection(chosen, size, left_out_documents, left_out_bytes)


def refuse_unfit(documents: Sequence[Document]) -> None:
    """Raise a CorpusError that names every document which can't be told from another, or that isn't Unicode text."""
    if not documents:
        raise CorpusError("there are no documents to evaluate on; keep a larger share of the corpus for validation")
    problems = [
        f"document {id!r} of {source} stands {count} times among those to evaluate on; give each an id of its own"
        for (source, id), count in Counter((document.source, document.id) for document in documents).items()
        if count > 1
    ]
    for document in documents:
        try:
            document.text.encode()
        except UnicodeEncodeError as error:
            problems.append(
                f"document {document.id!r} of {document.source} holds half of a surrogate pair at character"
                f" {error.start}, which is no Unicode text; repair it before evaluation"
            )
    if problems:
        raise CorpusError(*problems)
