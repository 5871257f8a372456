"""A stock class with a task's head on a body that another class has alone: its tensors, and its labels in config.json."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ...models.architectures import build_empty
from ...models.config import ModelConfig
from ...models.encoder import EncoderConfig
from ...models.heads import HEADS
from ...models.task import DECIDED, MOST_LABELS, TaskConfig, body_config
from ...tokens.tokenizer import Tokenizer
from .layout import Layout, Piece
from .stock_config import StockConfig

PREFIX = "task."  # of the names of a head's tensors among ours
PROBLEM_TYPES = {
    "sequence": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
CHARACTERS = "labels_characters"  # in config.json, where tokens are labelled for single characters; transformers passes over it
THRESHOLDS = "label_thresholds"  # in config.json, which stock classes pass over
DEFAULT_LABELS = 2  # of a config.json that says nothing of them, as transformers writes it for two without names


class TaskLayout(Layout):
    """The class that has the head of `task` on the body of the layout `body`; `output` is its name for the last product."""

    task: TaskConfig

    def __init__(self, body: Layout, task: TaskConfig):
        class_name, self.output = body.heads.get(task.kind, ("", ""))
        self.body, self.task = body, task
        self.model_type, self.config_class, self.prefix = body.model_type, body.config_class, body.prefix
        self.architectures, self.passed_over = (class_name,), body.passed_over

    def reasons(self, config: ModelConfig) -> Iterator[str]:
        """Why the class can't hold a body of this shape, or no class has such a head."""
        if self.task.kind not in self.body.heads:
            yield f"no class of {self.model_type} has a head of the kind {self.task.kind}"
        yield from self.body.reasons(_with_its_own_head(config))

    def empty(self, config: ModelConfig) -> Mapping[str, Tensor]:
        """The body's tensors and the head's."""
        return {**build_empty(config).state_dict(), **self._head(config)}

    def pieces(self, config: ModelConfig) -> list[Piece]:
        """Every tensor of the class."""
        names = {"output": self.output, **self.body.head_modules}
        pieces = list(self.body.pieces(config))
        for name in self._head(config):
            module, _, part = name.removeprefix(PREFIX).rpartition(".")
            pieces.append(Piece(f"{names.get(module, PREFIX + module)}.{part}", (name,)))
        return pieces

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        """The shape and the labels as config.json spells them."""
        labels = self.task.labels
        problem = PROBLEM_TYPES.get(self.task.kind)
        return {
            **self.body.settings(config),
            "id2label": {str(number): label for number, label in enumerate(labels)},
            "label2id": {label: number for number, label in enumerate(labels)},
            **({"problem_type": problem} if problem else {}),
            **({CHARACTERS: True} if self.task.characters else {}),
            **({THRESHOLDS: list(self.task.thresholds)} if self.task.thresholds else {}),
        }

    def stock_config(self, config: ModelConfig, tokenizer: Tokenizer, dtype: str = "float32") -> dict[str, Any]:
        """The whole `config.json`."""
        whole = self.body.stock_config(config, tokenizer, dtype)
        return {**whole, **self.settings(config), "architectures": list(self.architectures)}

    def shape_of(self, stock: StockConfig) -> ModelConfig:
        """The body's shape."""
        return body_config(self.body.shape_of(stock))

    def copies(self, config: ModelConfig) -> dict[str, str]:
        """The body's."""
        return self.body.copies(config)

    def constants(self, config: ModelConfig) -> dict[str, Tensor]:
        """The body's."""
        return self.body.constants(config)

    def may_lack(self, config: ModelConfig) -> set[str]:
        """The body's."""
        return self.body.may_lack(config)

    def _head(self, config: ModelConfig) -> dict[str, Tensor]:
        """The head's tensors under our names, without memory."""
        with torch.device("meta"):
            return {PREFIX + name: tensor for name, tensor in self.task.head(config).state_dict().items()}


def _with_its_own_head(config: ModelConfig) -> ModelConfig:
    """The body as the class that has it alone would write it: a layout says of that shape whether it holds it."""
    return dataclasses.replace(config, masked_head=True) if isinstance(config, EncoderConfig) else config


def read_task(stock: StockConfig, layout: Layout) -> TaskConfig | None:
    """The task that a config.json tells by the name of its class; None where it is a class without a task's head. What is
    wrong with its labels is added to the problems of `stock`."""
    classes = stock.given("architectures")
    name = classes[0] if isinstance(classes, list) and classes else None
    kinds = [kind for kind in HEADS if layout.heads.get(kind, ("",))[0] == name]
    if not kinds:
        return None
    labels = _labels(stock)
    kind = kinds[0]
    if kind in PROBLEM_TYPES:
        usual = "regression" if len(labels) == 1 else PROBLEM_TYPES[kind]
        kind = stock.one_of("problem_type", {problem: kind for kind, problem in PROBLEM_TYPES.items()}, usual)
    thresholds = _thresholds(stock) if kind in DECIDED else ()
    task = TaskConfig(kind, labels, stock.flag(CHARACTERS, False), thresholds)
    for problem in task.problems():
        stock.wrong(problem)
    return task


def _thresholds(stock: StockConfig) -> tuple[float, ...]:
    """From which probability on each label is answered, where that is told."""
    value = stock.given(THRESHOLDS)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(type(each) in (int, float) and 0 <= each <= 1 for each in value):
        stock.wrong(f"{THRESHOLDS} must be a list of probabilities, found {value!r:.80}")
        return ()
    return tuple(map(float, value))


def _labels(stock: StockConfig) -> tuple[str, ...]:
    """What `id2label` calls the head's outputs, in their order. `num_labels` and `label2id`, where they stand, must agree."""
    names, numbers = stock.section("id2label").values, stock.section("label2id").values
    if not names:
        count = stock.size("num_labels", DEFAULT_LABELS, largest=MOST_LABELS)
        return tuple(f"LABEL_{number}" for number in range(count))
    wanted = [str(number) for number in range(len(names))]
    if missing := [number for number in wanted if number not in names]:
        strange = next(key for key in names if key not in wanted)
        stock.wrong(f"id2label must number its {len(names)} labels from 0 on; it lacks {missing[0]}, and has {strange!r:.80}")
        return tuple(wanted)
    labels = [names[number] for number in wanted]
    if unnamed := [label for label in labels if not isinstance(label, str)]:
        stock.wrong(f"id2label must name each label by a text, found {unnamed[0]!r:.80}")
        return tuple(wanted)
    if (count := stock.size("num_labels", len(labels), least=0)) != len(labels):
        stock.wrong(f"num_labels is {count:,}, and id2label names {len(labels):,}")
    if numbers and numbers != (agreeing := {label: number for number, label in enumerate(labels)}):
        label = next(label for label in {**agreeing, **numbers} if agreeing.get(label) != numbers.get(label))
        one, other = (f"{of.get(label, 'nothing')!s:.80}" for of in (agreeing, numbers))
        stock.wrong(f"id2label and label2id differ: {label!r:.80} is {one} by the one, and {other} by the other")
    return tuple(labels)
