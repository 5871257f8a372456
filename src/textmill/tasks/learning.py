"""A task learnt on the one training loop: a body that has learnt before or hasn't, the task's head, labelled texts in, and a
model folder out."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..errors import TaskError
from ..files import fingerprint, folder_lock
from ..formats.layouts import layout_to_keep
from ..formats.model_folder import load_model_folder, refuse_padded_ends, save_model_folder
from ..formats.sources import model_path
from ..models.architectures import build
from ..models.count import count
from ..models.heads import TaskModel
from ..models.language_model import LanguageModel
from ..models.lora import adapt, merge
from ..models.settings import ModelSettings
from ..models.task import Task, TaskConfig, body_config
from ..progress import format_count
from ..score import BITS_PER_LABEL, Figure
from ..tokens.settings import TokenizerSettings
from ..tokens.special_tokens import PAD
from ..tokens.texts import TextLoader, TextTokens
from ..tokens.tokenizer import Tokenizer
from ..tokens.training import TooLittleText, train_tokenizer
from ..training import checkpoints
from ..training.labels import LabelObjective
from ..training.loop import Training, forget, train
from ..training.summary import TrainingSummary
from .settings import LearnSettings, TaskRecipe, Usual


@dataclass(frozen=True)
class Base:
    """What a task is learnt on: a body and its tokenizer, and what is said of where they come from."""

    body: LanguageModel
    tokenizer: Tokenizer
    learnt_before: bool
    name: str
    architecture: str | None

    def usual(self, learn: LearnSettings) -> Usual:
        """How it learns where nothing is said."""
        return learn.usual(self.learnt_before, self.body.family)


def known_base(name: str | Path) -> Base:
    """A model folder, a run folder or a sample as a base, without what it has above its last layer but an encoder's pooler."""
    folder = load_model_folder(model_path(name))
    if folder.task is not None:
        known = folder.task.config
        print(f"  the head of {name}, a {known.kind} of {len(known.labels):,} labels, gives way to a new one")
    return Base(folder.model, folder.tokenizer, True, str(name), None)


def new_tokenizer(texts: Sequence[str], tokenizer: TokenizerSettings) -> Tokenizer:
    """A tokenizer learnt from the training texts alone: of as many tokens as they hold, where these are fewer."""
    try:
        return train_tokenizer(tokenizer, texts, special=(PAD,))
    except TooLittleText as few:
        return train_tokenizer(tokenizer.model_copy(update={"vocabulary_size": few.found}), texts, special=(PAD,))


def new_base(texts: Sequence[str], model: ModelSettings, tokenizer: TokenizerSettings, seed: int) -> Base:
    """A body from scratch, and a tokenizer learnt from the training texts alone."""
    learnt = new_tokenizer(texts, tokenizer)
    body = build(body_config(model.config(learnt.vocabulary_size)))
    body.initialise(seed)
    return Base(body, learnt, False, f"{model.architecture} from scratch", model.architecture)


def chosen_base(base: str | Path | None, texts: Sequence[str], recipe: TaskRecipe) -> Base:
    """The base of this name, or with None a new one, its tokens learnt from the training texts alone."""
    if base is not None:
        return known_base(base)
    return new_base(texts, recipe.model, recipe.tokenizer, recipe.learn.seed)


def under_head(base: Base, task: TaskConfig, learn: LearnSettings) -> TaskModel:
    """The base's body under the head of a task, as it begins to learn."""
    config = body_config(base.body.config)
    body = base.body
    if base.learnt_before:
        body = build(config)
        known = base.body.state_dict()
        body.load_state_dict({name: known[name] for name in body.state_dict()})
    head = task.head(config)
    head.initialise(learn.seed)
    model = TaskModel(base.body, head)  # which gives an encoder's own pooler to the head
    model.body, model.config = body, config
    model.set_dropout(learn.dropout_of(base.usual(learn)))
    if learn.way == "lora":
        adapt(body, learn.rank, learn.rank, learn.seed, learn.adapt_embeddings)
    frozen = body.parameters() if learn.way == "head" else model.unread()
    for parameter in frozen:
        parameter.requires_grad_(False)
    return model


def rate_factors(model: nn.Module, learn: LearnSettings, usual: Usual) -> dict[str, float]:
    """Of the learning rate, by the parameters' names: the head's own, and less for each layer further down."""
    layers = int(model.config.layers)  # type: ignore[union-attr, arg-type]
    factors = {}
    for name, _ in model.named_parameters():
        if name.startswith("head."):
            factors[name] = learn.head_factor(usual)
        elif usual.learnt_before:
            found = re.search(r"blocks\.(\d+)\.", name)
            depth = int(found[1]) + 1 if found else layers if name.startswith(("body.norm", "norm.")) else 0
            factors[name] = learn.layer_decay ** (layers - depth)
        elif name == "body.pair_embedding.weight":
            factors[name] = usual.looked_up_factor
    return factors


@dataclass(frozen=True)
class Learning:
    """All that a task's training is made of: `training` and `validation` texts as tokens, and what the model says of a text,
    for show. Where the best weights are chosen by something else than their bits, `validate` gives it on the held-out texts,
    lower is better, in the unit of `figure`. `finish` may change the best weights' head, and gives the task that is written
    and what is told of it."""

    base: Base
    task: TaskConfig
    learn: LearnSettings
    training: Sequence[TextTokens]
    validation: Sequence[TextTokens]
    class_weights: torch.Tensor | None
    shown: Callable[[Task], str]
    lineage: dict[str, Any]
    validate: Callable[[Task], float] | None = None
    figure: Figure | None = None
    finish: Callable[[Task], tuple[TaskConfig, dict[str, Any]]] = lambda task: (task.config, {})


def learn_task(learning: Learning, folder: Path, restart: bool = False) -> Path:
    """Train, and write `folder`/model, which is returned; goes on where it was stopped.

    Raises RunError where the folder holds another training."""
    learn, base = learning.learn, learning.base
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        if restart:
            forget(folder)
        model = under_head(base, learning.task, learn)
        layout = layout_to_keep(model.config, base.architecture, learning.task)
        refuse_padded_ends(base.name, layout, base.tokenizer)  # now, and not when all is learnt
        loader = TextLoader(learning.training, learn.batch_size, learn.seed, model.head.of_tokens)
        usual = base.usual(learn)
        settings = learn.train_settings(usual, loader.steps_per_epoch)
        cost = count(model.config)
        print(f"  {base.name}, {base.body.family} of {format_count(cost.parameters)} parameters")
        objective = LabelObjective(model.head, learning.class_weights, learn.label_smoothing)
        lineage = {"task": dataclasses.asdict(learning.task), "learn": learn.model_dump(mode="json"), **learning.lineage}
        lineage = {key: fingerprint(value)[:12] if isinstance(value, dict | list) else value for key, value in lineage.items()}
        summary = trained(
            Training(
                settings=settings,
                model=model,
                objective=objective,
                loader=loader,
                count=cost,
                verb="says",
                figure=BITS_PER_LABEL,
                units_per_target=1.0,
                validate=functools.partial(_validated, learning),
                validated_in=learning.figure,
                validation_seconds=lambda model: 0.0,
                sample=lambda model: learning.shown(Task(learning.task, model)),
                folder=folder,
                lineage=lineage,
                factors=rate_factors(model, learn, usual),
            )
        )
        merge(model.body)
        config, told = learning.finish(Task(learning.task, model.eval()))
        save_model_folder(
            folder / "model",
            model.body,
            base.tokenizer,
            {
                "textmill": __version__,
                "base": base.name,
                "task": {**learning.lineage, **told},
                "training": dataclasses.asdict(summary),
            },
            base.architecture,
            Task(config, model),
        )
    return folder / "model"


def trained(training: Training) -> TrainingSummary:
    """Train, and put the weights that were chosen into the model."""
    summary = train(training)
    weights = summary.weights
    tensors = checkpoints.load_tensors(checkpoints.checkpoint_folder(training.checkpoints, weights.step), weights.file)
    for name, parameter in checkpoints.learning(training.model).items():
        parameter.data.copy_(tensors[name])
    return summary


def _validated(learning: Learning, model: TaskModel) -> float:
    if learning.validate is not None:
        return learning.validate(Task(learning.task, model))
    return mean_bits(model, learning.validation, learning.learn.batch_size)


@torch.no_grad()
def mean_bits(model: nn.Module, texts: Sequence[TextTokens], batch_size: int) -> float:
    """Bits a label of the held-out texts. Raises TaskError where there are none."""
    if not texts:
        raise TaskError("there are no held-out texts to validate on")
    head: Any = model.head
    loader = TextLoader(texts, batch_size, 0, head.of_tokens)
    nats, counted = 0.0, 0
    device = next(model.parameters()).device
    for step in range(loader.steps_per_epoch):
        batch = loader.batch(step).to(device)
        nats += float(model(batch.inputs, batch.targets, batch.lengths))
        counted += head.count(batch.targets)
    return nats / counted / math.log(2)
