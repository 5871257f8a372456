"""Where a stage works: the recipe, the run folder, and what earlier stages have left in it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpus.document import Document
from ..corpus.store import read_corpus
from ..errors import CorpusError, RunError, TextmillError
from ..evaluation.selection import choose_documents
from ..progress import Progress
from ..recipe import Recipe
from ..tokens.tokenizer import Tokenizer


class DamagedOutput(RunError):
    """What an earlier stage wrote isn't there, or isn't as it was written: that stage has to be done again."""

    def __init__(self, stage: str, *problems: str):
        self.stage = stage
        super().__init__(*problems)


@dataclass(frozen=True)
class Workplace:
    """Where a stage works: the recipe, the run folder, and the manifest of what is done."""

    recipe: Recipe
    folder: Path
    manifest: dict[str, Any]

    def train_documents(self) -> Iterator[Document]:
        return self._documents("train")

    def validation_documents(self, maximum_bytes: int) -> list[Document]:
        """Held-out documents, chosen by their hashes, of `maximum_bytes` together; one at least, however long."""
        shortest = min(len(document.text.encode()) for document in self._documents("validation")) + 1
        return choose_documents(self._documents("validation"), max(maximum_bytes, shortest)).documents

    def text_progress(self, label: str) -> Progress:
        """A progress line over the bytes of the training text."""
        corpus = self.manifest["stages"]["corpus"]["summary"]
        return Progress(label, corpus["kept"]["train"]["bytes"], "bytes")

    def tokenizer(self) -> Tokenizer:
        with written_by("tokenizer"):
            tokenizer = Tokenizer.load(self.folder / "tokenizer")
            if tokenizer.hash != self.hash("tokenizer"):
                raise RunError(f"{self.folder / 'tokenizer'} holds another tokenizer than the one that was made")
        return tokenizer

    def hash(self, stage: str) -> str:
        return self.manifest["stages"][stage]["hash"]

    def _documents(self, side: str) -> Iterator[Document]:
        try:
            yield from read_corpus(self.folder / "corpus" / f"{side}.jsonl.zst")
        except CorpusError as error:
            raise DamagedOutput("corpus", *error.problems) from error


@contextlib.contextmanager
def written_by(stage: str) -> Iterator[None]:
    """What can't be read within this context is the output of `stage`, which has to be done again."""
    try:
        yield
    except TextmillError as error:
        raise DamagedOutput(stage, *error.problems) from error


def longest(documents: Sequence[Document]) -> Document:
    """The document with the most text, to show something by."""
    return max(documents, key=lambda document: len(document.text))
