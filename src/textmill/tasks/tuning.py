"""A language model that goes on learning on the one training loop: all of it, or low ranks beside its matrices which are
merged into them at the end; and a model folder out."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import TaskError
from ..files import fingerprint, folder_lock
from ..formats.model_folder import save_model_folder
from ..models.architectures import build
from ..models.count import count
from ..models.lora import adapt, merge
from ..progress import format_count
from ..score import Figure
from ..tokens.dialogues import with_template
from ..tokens.texts import TextLoader
from ..training.loop import Training, forget
from ..training.objectives import Objective
from .learning import Base, known_base, new_tokenizer, rate_factors, trained
from .settings import DialogueRecipe, DialogueSettings

ANSWERING = ("decoder", "recurrent")  # families that go on with a text, in which a conversation is one


def writing_base(base: str | Path | None, texts: Sequence[str], recipe: DialogueRecipe) -> Base:
    """A language model of this name with its chat template or, where it has none, the plain one; with None a new one, whose
    tokens are learnt from the texts alone. Raises TaskError for a model that doesn't write on."""
    if base is None:
        tokenizer = new_tokenizer(texts, recipe.tokenizer)
        body = build(recipe.model.config(tokenizer.vocabulary_size))
        body.initialise(recipe.learn.seed)
        found = Base(body, tokenizer, False, f"{recipe.model.architecture} from scratch", recipe.model.architecture)
    else:
        found = known_base(base)
    if found.body.family not in ANSWERING or not found.body.writes:
        raise TaskError(
            f"{found.name} is {found.body.kind}, which doesn't go on with a conversation; take a decoder or a recurrent model"
        )
    if with_template(found.tokenizer):
        print("  the base has no chat template: it gets the plain one, which is saved with it")
    return found


@dataclass(frozen=True)
class Tuning:
    """All that such a training is made of. `validate` gives `figure` of the model on held-out examples; one target stands for
    `units_per_target` of what the figure counts by; `shown` is something that the model does, which it `verb`."""

    base: Base
    learn: DialogueSettings
    objective: Objective
    loader: TextLoader
    figure: Figure
    units_per_target: float
    validate: Callable[[Any], float]
    verb: str
    shown: Callable[[Any], str]
    lineage: dict[str, Any]


def tune(tuning: Tuning, folder: Path, restart: bool = False) -> Path:
    """Train the base itself, and write `folder`/model, which is returned; goes on where it was stopped.

    Raises RunError where the folder holds another training."""
    learn, base, model = tuning.learn, tuning.base, tuning.base.body
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        if restart:
            forget(folder)
        cost = count(model.config)
        model.set_dropout(learn.dropout)
        if learn.way == "lora":
            adapt(model, learn.rank, learn.rank, learn.seed, learn.adapt_embeddings, learn.adapt_layers)
        learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        print(
            f"  {base.name}, {model.family} of {format_count(cost.parameters)} parameters"
            + (f"; {format_count(learning)} beside them learn" if learn.way == "lora" else "")
        )
        usual = base.usual(learn)
        factors = rate_factors(model, learn, usual)
        lineage = {"learn": fingerprint(learn.model_dump(mode="json"))[:12], **tuning.lineage}
        summary = trained(
            Training(
                settings=learn.train_settings(usual, tuning.loader.steps_per_epoch),
                model=model,
                objective=tuning.objective,
                loader=tuning.loader,
                count=cost,
                verb=tuning.verb,
                figure=tuning.figure,
                units_per_target=tuning.units_per_target,
                validate=tuning.validate,
                validation_seconds=lambda model: 0.0,
                sample=tuning.shown,
                folder=folder,
                lineage=lineage,
                factors={name: factor for name, factor in factors.items() if not name.startswith("head.")},
            )
        )
        merge(model)
        save_model_folder(
            folder / "model",
            model,
            base.tokenizer,
            {"textmill": __version__, "base": base.name, "task": tuning.lineage, "training": dataclasses.asdict(summary)},
            base.architecture,
        )
    return folder / "model"
