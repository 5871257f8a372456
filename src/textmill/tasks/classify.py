"""Whole texts into classes: topics, intents, sentiment.

task = textmill.tasks.Classify()
model = task.train("sample:minilm", "train.csv", test="test.csv", out="runs/topics")
model("How far is it from Denver to Aspen?")
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from ..errors import TaskError
from ..evaluation.label_metrics import accuracy, calibration_error, macro_f1
from ..evaluation.perturbations import under_perturbations
from ..formats.model_folder import ModelFolder, load_model_folder
from ..inference.classify import classify
from ..models.task import Task, TaskConfig
from ..tokens.texts import TextTokens
from ..tokens.tokenizer import Tokenizer
from ..training.labels import balanced_weights
from .augmentation import augmented
from .baselines import bag_for, linear_predictions, majority
from .examples import Split, divide
from .judged import Judged
from .labelled import LabelledText, Reading, read_labelled
from .learning import Learning, chosen_base, learn_task
from .settings import TaskRecipe

USUAL, PLAIN = TaskRecipe(), Reading()
LONGEST = 512  # tokens, where neither the recipe nor the model says


@dataclass(frozen=True)
class Prediction:
    """What a model says of a text: the likeliest label, and how likely it thinks each."""

    label: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """Of the likeliest label."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Classifier:
    """A model folder with a head for classes, ready to be asked."""

    folder: ModelFolder

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Of a model folder, or of the folder that a task was learnt in."""
        return cls(load_model_folder(path))

    def __call__(self, text: str) -> Prediction:
        return self.predict([text])[0]

    def predict(self, texts: Sequence[str], longest: int | None = None) -> list[Prediction]:
        """A prediction for each text; of one that is longer than the model's context its beginning is read."""
        task, tokenizer = self.folder.task, self.folder.tokenizer
        if task is None or task.config.kind != "sequence":
            raise TaskError(f"{self.folder.path} has no head for classes of texts")
        limit = longest or self.folder.model.context_limit or LONGEST
        found = classify(task, tokenizer, [shortened(text, tokenizer, limit) for text in texts])
        return [Prediction(max(scores, key=lambda label: scores[label]), scores) for scores in found]


def shortened(text: str, tokenizer: Tokenizer, limit: int) -> str:
    """The text's beginning, of at most `limit` tokens with what frames it."""
    room = limit - len(tokenizer.prefix) - len(tokenizer.suffix)
    ids, spans = tokenizer.encode_with_spans([text])[0]
    return text if len(ids) <= room else text[: spans[room - 1][1]]


class Classify:
    """The task: learns from labelled texts to tell a text's class. `usual`: the recipe where none is given."""

    usual: ClassVar[TaskRecipe] = USUAL
    asked: ClassVar = 'predict {folder} "a text"'

    def __init__(self, recipe: TaskRecipe = USUAL, reading: Reading = PLAIN):
        self.recipe, self.reading = recipe, reading

    def train(
        self,
        base: str | Path | None,
        data: str | Path,
        test: str | Path | None = None,
        validation: str | Path | None = None,
        out: str | Path = "runs/classify",
        restart: bool = False,
    ) -> Classifier:
        """Learn from the labelled texts of a file, on a model that has learnt before or, with None, from scratch. The model,
        its scores and all that tells how it came about are in the folder `out`.

        Raises TaskError for data that can't be used, with all that is wrong."""
        split = self.read(data, test, validation)
        print(split.report)
        return self.learn(base, split, out, restart)

    def read(
        self, data: str | Path, test: str | Path | None = None, validation: str | Path | None = None
    ) -> Split[LabelledText]:
        """The examples of these files, checked; `report` tells what was found. Raises TaskError with all that is wrong."""
        return divide(lambda path: read_labelled(path, self.reading), data, test, validation, self.recipe.learn.validation)

    def learn(self, base: str | Path | None, split: Split[LabelledText], out: str | Path, restart: bool = False) -> Classifier:
        """Learn from examples that are read already, be judged by the test examples, and write the folder `out`."""
        learn = self.recipe.learn
        labels = tuple(sorted({example.labels[0] for example in split.training}))
        config = TaskConfig("sequence", labels)
        if problems := list(config.problems()):
            raise TaskError(*problems)
        chosen = chosen_base(base, [example.text for example in split.training], self.recipe)
        longest = min(learn.longest or LONGEST, chosen.body.context_limit or LONGEST)
        numbers = {label: number for number, label in enumerate(labels)}
        training, cut = encoded(augmented(split, learn), chosen.tokenizer, numbers, longest)
        held_out, _ = encoded(split.validation, chosen.tokenizer, numbers, longest)
        if cut:
            print(f"  {cut:,} of {len(training):,} training texts are longer than {longest} tokens and were cut there")
        weights = None
        if learn.class_weights == "balanced":
            weights = balanced_weights(torch.tensor([int(each.target) for each in training]), len(labels))
        learning = Learning(
            base=chosen,
            task=config,
            learn=learn,
            training=training,
            validation=held_out,
            class_weights=weights,
            shown=lambda task: _shown(task, chosen.tokenizer, split.validation[0], longest),
            lineage={"base": chosen.name, "data": split.hash},
        )
        model = Classifier.load(learn_task(learning, Path(out), restart))
        if split.test:
            judged = judge(model, split, longest)
            print(judged)
            judged.write(Path(out))
        return model


def encoded(
    examples: Sequence[LabelledText], tokenizer: Tokenizer, numbers: dict[str, int], longest: int
) -> tuple[list[TextTokens], int]:
    """The examples as tokens and numbers of labels, those without a known label left out; and how many were cut."""
    known = [example for example in examples if example.labels[0] in numbers]
    room = longest - len(tokenizer.prefix) - len(tokenizer.suffix)
    rows = tokenizer.encode_batch([example.text for example in known])
    found = [
        TextTokens(
            np.array([*tokenizer.prefix, *ids[:room], *tokenizer.suffix] or [tokenizer.document_start_id]),
            np.array(numbers[example.labels[0]]),
        )
        for example, ids in zip(known, rows, strict=True)
    ]
    return found, sum(len(ids) > room for ids in rows)


def judge(model: Classifier, split: Split[LabelledText], longest: int) -> Judged:
    """The model's scores on the test texts, beside the baselines' that learnt from the same training texts."""
    wanted = [example.labels[0] for example in split.test]
    found = model.predict([example.text for example in split.test], longest)
    right = [each.label == label for each, label in zip(found, wanted, strict=True)]
    signature = {"data": split.hash, "test": split.test_hash, "texts": len(wanted)}
    seen = [*split.training, *split.validation]
    texts, labels = [example.text for example in seen], [example.labels[0] for example in seen]
    asked = [example.text for example in split.test]
    bag = bag_for(texts)
    guesses = {
        f"TF-IDF of {bag.units}, linear SVM": linear_predictions(bag, texts, labels, asked),
        "most frequent label": [majority(labels)] * len(asked),
    }
    classes = sorted({*wanted, *labels})
    numbers = {label: number for number, label in enumerate(classes)}
    surest = sorted((place for place, flag in enumerate(right) if not flag), key=lambda place: -found[place].probability)[:50]
    wanted_numbers, found_numbers = [numbers[label] for label in wanted], [numbers[each.label] for each in found]

    def told_right(texts: Sequence[str]) -> list[bool]:
        return [each.label == label for each, label in zip(model.predict(texts, longest), wanted, strict=True)]

    return Judged(
        scores=[
            accuracy(right, signature),
            macro_f1(wanted_numbers, found_numbers, len(classes), signature),
            calibration_error([each.probability for each in found], right, signature),
        ],
        baselines={
            name: [accuracy([guess == label for guess, label in zip(guessed, wanted, strict=True)], signature)]
            for name, guessed in guesses.items()
        },
        perturbations=under_perturbations(asked, right, told_right, "accuracy", signature),
        more={
            "mistakes": [
                {
                    "text": split.test[place].text,
                    "file": split.test[place].file,
                    "line": split.test[place].line,
                    "label": wanted[place],
                    "said": found[place].label,
                    "probability": found[place].probability,
                }
                for place in surest
            ]
        },
    )


def _shown(task: Task, tokenizer: Tokenizer, example: LabelledText, longest: int) -> str:
    scores = classify(task, tokenizer, [shortened(example.text, tokenizer, longest)])[0]
    label = max(scores, key=lambda label: scores[label])
    return f"{label} ({scores[label]:.0%}) of “{example.text[:80]}”, which is {example.labels[0]}"
