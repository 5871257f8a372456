"""A recipe's card: what it would build, and what that takes."""

from pathlib import Path

from ..progress import format_count
from ..recipe import Recipe, load_recipe
from ..report.commands import command
from ..training.settings import TrainSettings
from .card import Card, format_bytes
from .model import cost_rows, cost_values, parameter_rows, parameters_by_part, shape_rows


def recipe_card(path: str | Path, overrides: list[str]) -> Card:
    """What a recipe would build: its model, its batch, the memory that training holds for sure."""
    recipe = load_recipe(path, overrides)
    config = recipe.model.decoder_config(recipe.tokenizer.vocabulary_size)
    parameters = parameters_by_part(config)
    tokens = recipe.train.batch_size * config.context_length
    memory = training_bytes(parameters, recipe.train)
    values = {
        "kind": "recipe",
        "path": str(path),
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "parameters": parameters,
        "tokens_per_step": tokens,
        "costs": cost_values(config),
        "training_bytes": memory,
    }
    limits = {"time": recipe.train.time, "steps": recipe.train.steps, "tokens": recipe.train.tokens}
    return Card(
        f"{path}: a recipe for a decoder of {format_count(parameters['all'])} parameters",
        values,
        {
            "Text": [("source", ", ".join(recipe.corpus.sources())), ("tokenizer", _tokenizer_text(recipe))],
            "Shape": shape_rows(config),
            "Parameters": parameter_rows(config),
            "Training": [
                *((name, str(value)) for name, value in limits.items() if value is not None),
                ("tokens per step", f"{tokens:,} ({recipe.train.batch_size} rows of {config.context_length:,})"),
                ("memory", f"{format_bytes(memory)} of weights, gradients and optimizer; activations and text come on top"),
            ],
            "Costs": cost_rows(config),
        },
        f"Do it: {command(['textmill', 'run', path])}",
    )


def training_bytes(parameters: dict[str, int], settings: TrainSettings) -> int:
    """Bytes that training holds whatever the batch: float32 weights and gradients, the optimizer's memory, which is one
    number a weight for Muon's matrices and two for AdamW, and the weights' average where there is one."""
    matrices = parameters["attention"] + parameters["feed_forward"] if settings.optimizer == "muon" else 0
    copies = 2 if settings.averaging is None else 3
    return 4 * (copies * parameters["all"] + matrices + 2 * (parameters["all"] - matrices))


def _tokenizer_text(recipe: Recipe) -> str:
    return f"{recipe.tokenizer.kind}, {recipe.tokenizer.vocabulary_size:,} tokens at most"
