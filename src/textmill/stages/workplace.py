"""Where a stage works: the recipe, the run folder, and what earlier stages have left in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpus.document import Document
from ..corpus.store import read_corpus
from ..evaluation.scorers import ModelScorer
from ..evaluation.selection import choose_documents
from ..files import read_json
from ..models.decoder import Decoder
from ..progress import Progress
from ..recipe import Recipe
from ..tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Workplace:
    """Where a stage works: the recipe, the run folder, and the manifest of what is done."""

    recipe: Recipe
    folder: Path
    manifest: dict[str, Any]

    def train_documents(self) -> Iterator[Document]:
        return read_corpus(self.folder / "corpus" / "train.jsonl.zst")

    def validation_documents(self, maximum_bytes: int) -> list[Document]:
        """Held-out documents, chosen by their hashes, of `maximum_bytes` together; one at least, however long."""
        path = self.folder / "corpus" / "validation.jsonl.zst"
        shortest = min(len(document.text.encode()) for document in read_corpus(path)) + 1
        return choose_documents(read_corpus(path), max(maximum_bytes, shortest)).documents

    def text_progress(self, label: str) -> Progress:
        """A progress line over the bytes of the training text."""
        card = read_json(self.folder / "corpus" / "card.json")
        return Progress(label, card["kept"]["train"]["bytes"], "bytes")

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / "tokenizer")

    def hash(self, stage: str) -> str:
        return self.manifest["stages"][stage]["hash"]


def model_scorer(model: Decoder, tokenizer: Tokenizer, rows: int) -> ModelScorer:
    """The model as evaluation and training alike judge it."""
    return ModelScorer(model, tokenizer, model.config.context_length, rows, name="textmill")
