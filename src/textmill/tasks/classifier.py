"""A model that tells the classes of texts, ready to be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TaskError
from ..formats.model_folder import ModelFolder, load_model_folder
from ..inference.classify import classify
from ..models.task import DECIDED, Task
from ..tokens.tokenizer import Tokenizer

LONGEST = 512  # tokens, where neither the recipe nor the model says
NO_LABEL = "(no label)"


@dataclass(frozen=True)
class Prediction:
    """What a model says of a text: the labels that it gives it, and how likely it thinks each there is."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]

    @property
    def label(self) -> str | None:
        """The likeliest of the labels given; None where the text fits none."""
        return max(self.labels, key=self.probabilities.__getitem__, default=None)

    @property
    def probability(self) -> float:
        """Of the label; where there is none, of the likeliest that there is."""
        return max(self.probabilities.values()) if self.label is None else self.probabilities[self.label]

    def __str__(self) -> str:
        if not self.labels:
            return f"{NO_LABEL}  {self.probability:.1%} at most"
        return "  ".join(f"{label}  {self.probabilities[label]:.1%}" for label in self.labels)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"label": self.label, "labels": list(self.labels), "probabilities": self.probabilities}


def prediction(task: Task, probabilities: dict[str, float]) -> Prediction:
    """What the task answers where it thinks its labels this likely."""
    said = task.config.said(list(probabilities.values()))
    return Prediction(tuple(task.config.labels[place] for place in said), probabilities)


@dataclass(frozen=True)
class Classifier:
    """A model folder with a head for classes, ready to be asked."""

    folder: ModelFolder

    def __post_init__(self) -> None:
        """Raises TaskError where the folder's head is for another task."""
        if self.folder.task is None or self.folder.task.config.kind not in DECIDED:
            raise TaskError(f"{self.folder.path} has no head for classes of texts; textmill tune classify makes one")

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Of a model folder, or of the folder that a task was learnt in."""
        return cls(load_model_folder(path))

    @property
    def task(self) -> Task:
        """What it was made for."""
        assert self.folder.task is not None
        return self.folder.task

    def __call__(self, text: str) -> Prediction:
        return self.predict([text])[0]

    def predict(self, texts: Sequence[str], longest: int | None = None) -> list[Prediction]:
        """A prediction for each text; of one that is longer than the model's context its beginning is read. Raises TaskError
        for texts that hold nothing."""
        if empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
            raise TaskError(f"text {empty[0]:,} holds nothing" + (f", nor do {len(empty) - 1:,} more" if empty[1:] else ""))
        limit = longest or self.folder.model.context_limit or LONGEST
        tokenizer = self.folder.tokenizer
        found = classify(self.task, tokenizer, [shortened(text, tokenizer, limit) for text in texts])
        return [prediction(self.task, scores) for scores in found]


def shortened(text: str, tokenizer: Tokenizer, limit: int) -> str:
    """The text's beginning, of at most `limit` tokens with what frames it."""
    room = limit - len(tokenizer.prefix) - len(tokenizer.suffix)
    ids, spans = tokenizer.encode_with_spans([text])[0]
    return text if len(ids) <= room else text[: spans[room - 1][1]]
