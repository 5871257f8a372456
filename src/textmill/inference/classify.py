"""What a model with a task's head says of whole texts: how likely each of its labels is, or its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..models.language_model import LanguageModel
from ..models.task import Task, probabilities
from ..tokens.tokenizer import Tokenizer
from .reading import read_alone

OF_TEXTS = ("sequence", "multi_label", "regression")  # tasks whose head says something of a whole text


@dataclass(frozen=True, eq=False)
class Outputs:
    """Wanted of a reading: what the head of the model's task, None where it was made for none, gives for each label."""

    task: Task | None

    def problem(self, model: LanguageModel) -> str | None:
        """Why this model can't give it; None where it can."""
        if self.task is None:
            return f"this is {model.kind} that has no head for labels of texts"
        if (kind := self.task.config.kind) not in OF_TEXTS:
            return f"this is {model.kind} whose head is of the kind {kind}, which labels no whole texts"
        return None

    def of(self, model: LanguageModel, hidden: Tensor, tokens: Tensor) -> list[float]:
        """The outputs of hidden states (T, D)."""
        return self.outputs(hidden, tokens).tolist()

    def outputs(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """(labels,)."""
        assert self.task is not None
        found: Tensor = self.task.model.head(hidden[None], tokens.new_tensor([len(tokens)]))
        return found[0].float()


@dataclass(frozen=True, eq=False)
class Scores(Outputs):
    """Wanted of a reading: each label's probability, or a regression's numbers."""

    def of(self, model: LanguageModel, hidden: Tensor, tokens: Tensor) -> list[float]:
        """The probabilities, or a regression's numbers, of hidden states (T, D)."""
        assert self.task is not None
        return probabilities(self.task.config.kind, self.outputs(hidden, tokens)).tolist()


def classify(task: Task, tokenizer: Tokenizer, texts: Sequence[str]) -> list[dict[str, float]]:
    """For each text every label's probability (they sum to 1 where one of them is chosen), or a regression's number by its
    name. Each is a whole input as the model's stock class gives it.

    Raises GenerationError for a task that labels no texts, and for every text that is longer than the model's context or has
    no token.
    """
    found = read_alone(task.model.body, [tokenizer.encode_whole(text) for text in texts], Scores(task))
    return [dict(zip(task.config.labels, scores, strict=True)) for scores in found]
