"""Cleaning wiki pages and cutting text into tokens, on pages that are drawn, so that no network is needed."""

from collections.abc import Iterator
from functools import partial

from ..corpus.cleaning import Cleaner
from ..corpus.settings import CorpusSettings
from ..tokens.settings import TokenizerSettings
from ..tokens.training import train_tokenizer
from .measurement import Case, Group
from .pages import Writer

PAGES = 8  # in a run
VOCABULARY = 4096
TRAINING, ENCODED = 300_000, 500_000  # characters that the tokenizer is learnt from, and that it is timed on
DOCUMENT = 10_000  # characters
CLEANING, TOKENISING = "cleaning wiki pages, a core", f"tokenising, BPE of {VOCABULARY:,}"
# Seconds that they usually take to set up, and a run:
PAGES_SETUP, PAGES_RUN = 0.5, 0.1
TOKENIZER_SETUP, TOKENIZER_RUN = 1.5, 0.2


def groups(device: object = None, pages: int = PAGES, training: int = TRAINING, encoded: int = ENCODED) -> Iterator[Group]:
    """Pages a second on one core, as one of the corpus stage's processes cleans them; and a tokenizer's megabytes a second."""
    writer = Writer()
    yield Group("text", (CLEANING,), PAGES_SETUP, partial(_cleaning, writer, pages))
    yield Group("text", (TOKENISING,), TOKENIZER_SETUP, partial(_tokenising, writer, training, encoded))


def _cleaning(writer: Writer, pages: int) -> Iterator[Case]:
    articles, clean = [writer.page(number) for number in range(pages)], Cleaner(CorpusSettings(source="bench"))
    yield Case("text", CLEANING, "pages/s", lambda: clean(list(articles)), pages, usual=PAGES_RUN)


def _tokenising(writer: Writer, training: int, encoded: int) -> Iterator[Case]:
    tokenizer = train_tokenizer(TokenizerSettings(vocabulary_size=VOCABULARY), [writer.prose(training)])
    documents = [writer.prose(DOCUMENT) for _ in range(max(1, encoded // DOCUMENT))]
    size = sum(len(document.encode()) for document in documents)
    yield Case("text", TOKENISING, "MB/s", lambda: tokenizer.encode_batch(documents), size / 1e6, usual=TOKENIZER_RUN)
