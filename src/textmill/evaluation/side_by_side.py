"""Model folders side by side on any text, with baselines that know nothing of the model: what `textmill evaluate` does."""

import lzma
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..corpus.document import Document
from ..corpus.settings import CorpusSettings
from ..errors import ModelError
from ..formats.model_folder import ModelFolder
from ..models.ngram import NgramModel
from ..progress import Progress
from ..score import Score
from .bits_per_byte import UNIT, Evaluation, evaluate_scorers, plain_score
from .scorers import XZ_END, DocumentScore, NgramScorer, Scorer
from .stream_scorer import scorer_of
from .table import render_evaluation
from .texts import Texts, known_sources, seen_in_training, training_texts

BASELINE_BYTES = 20_000_000  # of text that the n-gram learns from at most
ROWS = 16  # windows that pass through a model together
XZ_DICTIONARY = 1 << 26  # 64 MiB: bounds the memory, some ten times as much


class _Watched:
    """A scorer whose progress is shown, in bytes of text."""

    def __init__(self, scorer: Scorer, progress: Progress):
        self.scorer, self.progress = scorer, progress
        self.name, self.signature = scorer.name, scorer.signature

    def score(self, documents: Sequence[Document]) -> Iterator[DocumentScore]:
        for score in self.scorer.score(documents):
            self.progress.advance(score.bytes, self.name)
            yield score


def system_names(paths: Sequence[Path]) -> list[str]:
    """What the table calls each model: its folder's name, its run's where it is `model`; the path where two are alike."""
    short = [path.resolve().parent.name if path.resolve().name == "model" else path.resolve().name for path in paths]
    counts = Counter(short)
    return [name if counts[name] == 1 else str(path) for name, path in zip(short, paths)]


def train_ngram(settings: CorpusSettings, order: int) -> NgramModel:
    """The n-gram of some text. Raises ModelError for an order that it can't have, CorpusError for the text."""
    return NgramModel.train(training_texts(settings), order, BASELINE_BYTES)


def evaluate_folders(
    folders: Sequence[ModelFolder], texts: Texts, ngram: NgramModel | None = None, samples: int = 10_000
) -> "SideBySide":
    """Bits per byte of each model folder and of the n-gram, where one is given; the first is compared with each other.

    Raises ModelError where a folder is given twice.
    """
    counts = Counter(folder.path.resolve() for folder in folders)
    if twice := [path for path, count in counts.items() if count > 1]:
        raise ModelError(*(f"{path} is given twice; a model differs from itself by nothing" for path in twice))
    scorers: list[Scorer] = [
        scorer_of(folder.model, folder.tokenizer, ROWS, name)
        for folder, name in zip(folders, system_names([folder.path for folder in folders]))
    ]
    if ngram is not None:
        scorers.append(NgramScorer(ngram))
    with Progress("scoring", texts.selection.bytes * len(scorers), "bytes", sys.stderr) as progress:
        watched = [_Watched(scorer, progress) for scorer in scorers]
        evaluation = evaluate_scorers(watched, texts.selection.documents, samples, extra_signature=texts.signature)
    notes = [note for folder, scorer in zip(folders, scorers) for note in _overlap(folder, scorer.name, texts)]
    return SideBySide(evaluation, xz_alone(texts.selection.documents), texts, notes, len(folders))


NAMED_FILES = 5  # of those that a model was trained on; of a folder of notes it may be all


def _overlap(folder: ModelFolder, name: str, texts: Texts) -> Iterator[str]:
    """What the model may have seen of the text when it was trained."""
    if known := known_sources(texts, folder.lineage):
        more = f" and {len(known) - NAMED_FILES:,} more files" if len(known) > NAMED_FILES else ""
        what = "this file" if len(known) == 1 else "these files"
        yield (
            f"{', '.join(known[:NAMED_FILES])}{more}: {name} was trained on most of {what}, so the figure is not one of "
            "held-out text"
        )
    documents = texts.selection.documents
    if seen := seen_in_training(documents, folder.path):
        yield f"{seen:,} of the {len(documents):,} documents stand word for word in the training text of {name}"


@dataclass(frozen=True)
class SideBySide:
    """The figures of some models on a text, and all that has to be said with them."""

    evaluation: Evaluation
    xz: Score
    texts: Texts
    notes: list[str]
    models: int

    def render(self, documents: int = 0) -> str:
        """For a terminal; with the `documents` worst and best documents of the first model."""
        other = "model" if self.models == len(self.evaluation.systems) else "system"
        lines = [self._read(), *(f"note: {note}" for note in self.notes), ""]
        lines += [render_evaluation(self.evaluation, other), f"{self.xz.name}: {self.xz.value:.3f} {UNIT}"]
        worst, best = hardest(self.evaluation.documents[0], documents)
        for title, scores in (("most", worst), ("fewest", best)):
            if scores:
                lines += ["", f"Of {self.evaluation.systems[0].name}, what cost the {title} {UNIT}:"]
                lines += [f"  {_bits(score):6.3f}  {score.bytes:>9,} bytes  {score.source}  {score.id}" for score in scores]
        return "\n".join(lines)

    def to_dict(self, documents: int = 0) -> dict[str, Any]:
        """As plain JSON values."""
        worst, best = hardest(self.evaluation.documents[0], documents)
        listed = {
            name: [{**asdict(score), "bits_per_byte": _bits(score)} for score in scores]
            for name, scores in (("worst_documents", worst), ("best_documents", best))
        }
        return {
            **self.evaluation.to_dict(),
            "xz_alone": plain_score(self.xz),
            "read_documents": self.texts.read,
            **self.texts.signature,
            "notes": self.notes,
            **(listed if documents else {}),
        }

    def _read(self) -> str:
        selection, dropped = self.texts.selection, self.texts.dropped
        parts = [f"{self.texts.read:,} documents read, {len(selection.documents):,} scored ({selection.bytes:,} bytes)"]
        if dropped:
            parts.append("dropped: " + ", ".join(f"{count:,} {rule}" for rule, count in dropped.items()))
        if selection.left_out_documents:
            parts.append(
                f"left out beyond --maximum-bytes: {selection.left_out_documents:,} documents "
                f"({selection.left_out_bytes:,} bytes)"
            )
        return "; ".join([*parts, "cleaned as a corpus is" if self.texts.cleaned else "not cleaned"])


def xz_alone(documents: Sequence[Document]) -> Score:
    """All documents, one after the other, as `xz -9e` packs them with no other text: one figure, so without interval."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": XZ_DICTIONARY}]
    compressor = lzma.LZMACompressor(format=lzma.FORMAT_RAW, filters=filters)
    size = packed = 0
    for document in documents:
        text = document.text.encode() + XZ_END
        size, packed = size + len(text), packed + len(compressor.compress(text))
    packed += len(compressor.flush())
    signature: dict[str, Any] = {"scorer": "xz -9e (raw LZMA2) of the text alone", "bytes": size}
    return Score("xz of the text alone", 8 * packed / size, math.nan, math.nan, len(documents), UNIT, signature)


def hardest(scores: Sequence[DocumentScore], number: int) -> tuple[list[DocumentScore], list[DocumentScore]]:
    """The `number` documents with the most bits per byte, worst first, and as many others with the least, best first."""
    ordered = sorted(scores, key=lambda score: (-_bits(score), score.source, score.id))
    worst = ordered[:number]
    return worst, ordered[len(worst) :][::-1][:number]


def _bits(score: DocumentScore) -> float:
    return score.nats / math.log(2) / score.bytes
