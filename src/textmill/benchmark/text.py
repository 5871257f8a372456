"""Cleaning wiki pages and cutting text into tokens, on pages that are drawn, so that no network is needed."""

from collections.abc import Iterator

from ..corpus.cleaning import Cleaner
from ..corpus.settings import CorpusSettings
from ..tokens.settings import TokenizerSettings
from ..tokens.training import train_tokenizer
from .measurement import Case
from .pages import Writer

PAGES = 8  # in a run
VOCABULARY = 4096
TRAINING, ENCODED = 300_000, 500_000  # characters that the tokenizer is learnt from, and that it is timed on
DOCUMENT = 10_000  # characters


def cases(pages: int = PAGES, training: int = TRAINING, encoded: int = ENCODED) -> Iterator[Case]:
    """Pages a second on one core, as one of the corpus stage's processes cleans them; and a tokenizer's megabytes a second."""
    writer = Writer()
    articles, clean = [writer.page(number) for number in range(pages)], Cleaner(CorpusSettings(source="bench"))
    yield Case("text", "cleaning wiki pages, a core", "pages/s", lambda: clean(list(articles)), pages)
    tokenizer = train_tokenizer(TokenizerSettings(vocabulary_size=VOCABULARY), [writer.prose(training)])
    documents = [writer.prose(DOCUMENT) for _ in range(max(1, encoded // DOCUMENT))]
    size = sum(len(document.encode()) for document in documents)
    yield Case("text", f"tokenising, BPE of {VOCABULARY:,}", "MB/s", lambda: tokenizer.encode_batch(documents), size / 1e6)
