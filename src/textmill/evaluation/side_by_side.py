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
from .masked_baselines import WordCounts, WordScorer
from .masked_evaluation import GUESSERS, MaskedEvaluation, evaluate_masked
from .scorers import XZ_END, NgramScorer
from .stream_scorer import scorer_of
from .table import render_evaluation, render_masked_evaluation
from .texts import Texts, known_sources, seen_in_training, training_texts

BASELINE_BYTES = 20_000_000  # of text that the n-gram learns from at most
ROWS = 16  # windows that pass through a model together
NAMED_FILES = 5  # of those that a model was trained on; of a folder of notes it may be all
XZ_DICTIONARY = 1 << 26  # 64 MiB: bounds the memory, some ten times as much


class _Watched:
    """A scorer whose progress is shown, in documents."""

    def __init__(self, scorer: Any, progress: Progress):
        self.scorer, self.progress = scorer, progress
        self.name, self.signature = scorer.name, scorer.signature

    def score(self, documents: Sequence[Document]) -> Iterator[Any]:
        for score in self.scorer.score(documents):
            self.progress.advance(1, self.name)
            yield score


def system_names(paths: Sequence[Path]) -> list[str]:
    """What the table calls each model: its folder's name, its run's where it is `model`; the path where two are alike."""
    short = [path.resolve().parent.name if path.resolve().name == "model" else path.resolve().name for path in paths]
    counts = Counter(short)
    return [name if counts[name] == 1 else str(path) for name, path in zip(short, paths)]


def evaluate_folders(
    folders: Sequence[ModelFolder],
    texts: Texts,
    training: CorpusSettings | None = None,
    ngram_order: int = 7,
    samples: int = 10_000,
) -> "SideBySide":
    """Each model folder, and baselines that learn from the text of `training` where that is given; the first is compared with
    each other. Models that write from left to right are judged in bits per byte, others by the hidden words that they guess.

    Raises ModelError where a folder is given twice or both kinds are, or for an order that no n-gram can have, CorpusError for
    the text.
    """
    counts = Counter((folder.path.resolve(), folder.weights) for folder in folders)
    if twice := [path for (path, _), count in counts.items() if count > 1]:
        raise ModelError(*(f"{path} is given twice; a model differs from itself by nothing" for path in twice))
    if others := [folder for folder in folders if folder.task is not None]:
        raise ModelError(
            *(f"{folder.path} is {folder.model.kind} under a task's head, which says nothing of a text" for folder in others)
        )
    guess = [folder for folder in folders if folder.model.family in GUESSERS]
    if guess and len(guess) < len(folders):
        other = next(folder for folder in folders if folder not in guess)
        raise ModelError(
            f"{guess[0].path} is {guess[0].model.kind}, which has no bits per byte, and {other.path} is "
            f"{other.model.kind}, which guesses no hidden words; compare each with its own kind"
        )
    paths = list(dict.fromkeys(folder.path for folder in folders))
    of_paths = dict(zip(paths, system_names(paths), strict=True))
    names = [of_paths[each.path] + (f" in {each.weights}" if each.weights != "float32" else "") for each in folders]
    scorers: list[Any]
    if guess:
        scorers = [
            GUESSERS[folder.model.family](folder.model, folder.tokenizer, ROWS, name) for folder, name in zip(folders, names)
        ]
        if training:
            words = WordCounts(training_texts(training), BASELINE_BYTES)
            scorers += [WordScorer(words, neighbours) for neighbours in (True, False)]
    else:
        scorers = [scorer_of(folder.model, folder.tokenizer, ROWS, name) for folder, name in zip(folders, names)]
        if training:
            scorers.append(NgramScorer(NgramModel.train(training_texts(training), ngram_order, BASELINE_BYTES)))
    documents, signature = texts.selection.documents, texts.signature
    with Progress("scoring", len(documents) * len(scorers), "documents", sys.stderr) as progress:
        watched = [_Watched(scorer, progress) for scorer in scorers]
        evaluation: Evaluation | MaskedEvaluation = (
            evaluate_masked(watched, documents, samples, extra_signature=signature)
            if guess
            else evaluate_scorers(watched, documents, samples, extra_signature=signature)
        )
    notes = [note for folder, name in zip(folders, names) for note in _overlap(folder, name, texts)]
    return SideBySide(evaluation, None if guess else xz_alone(documents), texts, notes, len(folders))


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

    evaluation: Evaluation | MaskedEvaluation
    xz: Score | None
    texts: Texts
    notes: list[str]
    models: int

    def render(self, documents: int = 0) -> str:
        """For a terminal; with the `documents` worst and best documents of the first model."""
        other = "model" if self.models == len(self.evaluation.systems) else "system"
        lines = [self._read(), *(f"note: {note}" for note in self.notes), ""]
        if isinstance(self.evaluation, MaskedEvaluation):
            lines.append(render_masked_evaluation(self.evaluation, other))
        else:
            lines.append(render_evaluation(self.evaluation, other))
        if self.xz:
            lines.append(f"{self.xz.name}: {self.xz.value:.3f} {UNIT}")
        worst, best = hardest(self.evaluation.documents[0], documents)
        for title, scores in (("most", worst), ("fewest", best)):
            if scores:
                lines += ["", f"Of {self.evaluation.names[0]}, what cost the {title} {self.evaluation.figure.unit}:"]
                lines += [f"  {score.bits:6.3f}  {score.size:>15}  {score.source}  {score.id}" for score in scores]
        return "\n".join(lines)

    def to_dict(self, documents: int = 0) -> dict[str, Any]:
        """As plain JSON values."""
        worst, best = hardest(self.evaluation.documents[0], documents)
        listed = {
            name: [{**asdict(score), self.evaluation.figure.key: score.bits} for score in scores]
            for name, scores in (("worst_documents", worst), ("best_documents", best))
        }
        return {
            **self.evaluation.to_dict(),
            **({"xz_alone": plain_score(self.xz)} if self.xz else {}),
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


def hardest(scores: Sequence[Any], number: int) -> tuple[list[Any], list[Any]]:
    """The `number` documents with the most bits for their size, worst first, and as many others with the least, best first."""
    ordered = sorted(scores, key=lambda score: (-score.bits, score.source, score.id))
    worst = ordered[:number]
    return worst, ordered[len(worst) :][::-1][:number]
