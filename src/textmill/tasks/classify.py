"""Whole texts into classes: topics, intents, sentiment; one of them, none where none fits, or several.

task = textmill.tasks.Classify()
model = task.train("sample:minilm", "train.csv", test="test.csv", out="runs/topics")
model("How far is it from Denver to Aspen?")
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ..errors import TaskError
from ..inference.classify import Outputs, classify
from ..inference.reading import read_alone
from ..models.settings import ModelSettings
from ..models.task import Task, TaskConfig, probabilities
from ..report.task_page import write_task_page
from ..tokens.settings import TokenizerSettings
from ..tokens.texts import TextTokens
from ..tokens.tokenizer import Tokenizer
from ..training.labels import balanced_weights
from .application import Application
from .augmentation import augmented
from .class_scores import judge
from .classifier import LONGEST, NO_LABEL, Classifier, prediction, shortened
from .examples import Finding, Split, divide
from .labelled import LabelledText, Reading, read_labelled
from .learning import Learning, chosen_base, learn_task
from .model_card import write_model_card
from .settings import TaskRecipe
from .temperature import best_temperature, fold
from .thresholds import fit_threshold, label_thresholds, quantile_threshold

USUAL = TaskRecipe(
    tokenizer=TokenizerSettings(kind="word", fold=True, vocabulary_size=16_384),
    model=ModelSettings(architecture="cnn", preset="1m"),
)
PLAIN = Reading()


class Classify(Application[LabelledText, Classifier]):
    """The task: learns from labelled texts to tell a text's class. `usual`: the recipe where none is given."""

    name: ClassVar = "classify"
    usual: ClassVar[TaskRecipe] = USUAL
    asked: ClassVar = 'predict {folder} "a text"'

    def __init__(self, recipe: TaskRecipe = USUAL, reading: Reading = PLAIN):
        self.recipe, self.reading = recipe, reading

    def read(
        self, data: str | Path, test: str | Path | None = None, validation: str | Path | None = None
    ) -> Split[LabelledText]:
        """The examples of these files, checked; `report` tells what was found. Raises TaskError with all that is wrong."""
        return divide(lambda path: read_labelled(path, self.reading), data, test, validation, self.recipe.learn.validation)

    def learn(
        self, base: str | Path | None, split: Split[LabelledText], out: str | Path, restart: bool = False, judging: bool = True
    ) -> Classifier:
        """Learn from examples that are read already, be judged by the test where `judging`, and write the folder `out`."""
        learn, folder = self.recipe.learn, Path(out)
        several = self.reading.separator is not None or any(
            len(example.labels) > 1 for example in [*split.training, *split.validation, *split.test]
        )
        if several and learn.reject:
            raise TaskError(
                "learn.reject is for texts of one label each; where they may have several, none is an answer already"
            )
        if not several:
            split = _outside_validates(split)
        labels = tuple(sorted({label for example in split.training for label in example.labels}))
        config = TaskConfig("multi_label" if several else "sequence", labels)
        if problems := [*config.problems(), *([] if labels else ["no text to learn from has a label"])]:
            raise TaskError(*problems)
        chosen = chosen_base(base, [example.text for example in split.training], self.recipe)
        longest = min(learn.longest or LONGEST, chosen.body.context_limit or LONGEST)
        training, cut = encoded(augmented(split, learn), chosen.tokenizer, config, longest)
        if cut:
            values = {"count": len(cut), "all": len(split.training), "longest": longest, "lines": cut}
            split = split.with_findings(Finding("cut", values))
            print(f"  {split.report.lines[-1]}")
        weights = None
        if learn.class_weights == "balanced":
            numbers = [labels.index(label) for example in split.training for label in example.labels]
            weights = balanced_weights(torch.tensor(numbers), len(labels))
        learning = Learning(
            base=chosen,
            task=config,
            learn=learn,
            training=training,
            validation=encoded(split.validation, chosen.tokenizer, config, longest)[0],
            class_weights=weights,
            shown=lambda task: _shown(task, chosen.tokenizer, split.validation[0], longest),
            lineage={"base": chosen.name, "data": split.hash},
            finish=lambda task: decided(task, chosen.tokenizer, split.validation, longest, learn.reject),
        )
        model = Classifier.load(learn_task(learning, folder, restart))
        if not judging:
            return model
        judged = judge(model, split, longest, self.recipe.baseline)
        print(judged)
        judged.write(folder)
        write_model_card(model.folder, judged)
        print(f"  {write_task_page(folder)}: open it in a browser")
        return model


def _outside_validates(split: Split[LabelledText]) -> Split[LabelledText]:
    """The same, texts that fit no label taken from those to learn from to those to validate on."""
    outside = [example for example in split.training if not example.labels]
    if not outside:
        return split
    finding = Finding("outside", {"count": len(outside), "lines": [example.line for example in outside]})
    inside = [example for example in split.training if example.labels]
    return dataclasses.replace(split, training=inside, validation=[*split.validation, *outside]).with_findings(finding)


def encoded(
    examples: Sequence[LabelledText], tokenizer: Tokenizer, config: TaskConfig, longest: int
) -> tuple[list[TextTokens], list[int]]:
    """The examples as tokens and targets, those left out whose label isn't known where one is to be chosen; and the lines of
    those that were cut."""
    numbers = {label: number for number, label in enumerate(config.labels)}
    several = config.kind == "multi_label"
    known = [example for example in examples if several or set(example.labels) & set(numbers)]
    room = longest - len(tokenizer.prefix) - len(tokenizer.suffix)
    rows = tokenizer.encode_batch([example.text for example in known])
    found = [
        TextTokens(
            np.array([*tokenizer.prefix, *ids[:room], *tokenizer.suffix] or [tokenizer.document_start_id]),
            held(example, config.labels).astype(np.float32) if several else np.array(numbers[example.labels[0]]),
        )
        for example, ids in zip(known, rows, strict=True)
    ]
    return found, [example.line for example, ids in zip(known, rows, strict=True) if len(ids) > room]


def held(example: LabelledText, labels: Sequence[str]) -> np.ndarray:
    """Which of the labels the example has, (labels,) bool."""
    return np.array([label in example.labels for label in labels])


def decided(
    task: Task, tokenizer: Tokenizer, validation: Sequence[LabelledText], longest: int, reject: float
) -> tuple[TaskConfig, dict[str, Any]]:
    """What is chosen on the validation texts once the weights are: the temperature, which goes into the head's weights, and
    from which probability on a label is answered. Gives the task with its thresholds, and what is told of both."""
    config, several = task.config, task.config.kind == "multi_label"
    texts = [tokenizer.encode_whole(shortened(example.text, tokenizer, longest)) for example in validation]
    outputs = torch.tensor(read_alone(task.model.body, texts, Outputs(task)))
    truth = np.array([held(example, config.labels) for example in validation])
    fits = np.full(len(validation), True) if several else truth.any(axis=1)
    targets = torch.from_numpy(truth[fits].astype(np.int64))
    temperature = best_temperature(outputs[torch.from_numpy(fits)], targets if several else targets.argmax(dim=1))
    fold(task.model.head, temperature)
    likely = probabilities(config.kind, outputs / temperature).double().numpy()
    told: dict[str, Any] = {"temperature": temperature, "validation_texts": len(validation)}
    thresholds: tuple[float, ...] = ()
    outside = np.array([not example.labels for example in validation])
    if several:
        thresholds = label_thresholds(likely, truth)
    elif outside.any() and fits.any():
        sure, right = likely.max(axis=1), truth[np.arange(len(truth)), likely.argmax(axis=1)]
        bound = fit_threshold(sure[fits].tolist(), right[fits].tolist(), sure[outside].tolist())
        thresholds, told["out_of_scope_texts"] = (bound,) * len(config.labels), int(outside.sum())
    elif reject and fits.any():
        bound = quantile_threshold(likely.max(axis=1)[fits].tolist(), reject)
        thresholds, told["rejected"] = (bound,) * len(config.labels), reject
    return dataclasses.replace(config, thresholds=thresholds), {**told, "thresholds": list(thresholds)}


def _shown(task: Task, tokenizer: Tokenizer, example: LabelledText, longest: int) -> str:
    scores = classify(task, tokenizer, [shortened(example.text, tokenizer, longest)])[0]
    said = prediction(task, scores)
    return f"{said} of “{example.text[:80]}”, which is {', '.join(example.labels) or NO_LABEL}"
