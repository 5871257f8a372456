"""A recipe's card: what it would build, and what that takes."""

from pathlib import Path

from ..models.architectures import FAMILIES
from ..progress import format_count
from ..recipe import Recipe, load_recipe
from ..report.commands import command
from ..stages.families import FAMILIES as LIVES
from ..training.memory import memory_need
from .card import Card
from .model import cost_rows, cost_values, family_of, parameter_rows, parameters_by_part, shape_rows


def recipe_card(path: str | Path, overrides: list[str]) -> Card:
    """What a recipe would build: its model, its batch, the memory that training takes."""
    recipe = load_recipe(path, overrides)
    config = recipe.model.config(recipe.tokenizer.vocabulary_size)
    parameters = parameters_by_part(config)
    tokens = recipe.train.batch_size * config.context_length
    rows = recipe.train.batch_size if recipe.train.micro_batch == "auto" else recipe.train.micro_batch
    dtype = "float32" if recipe.train.dtype == "auto" else recipe.train.dtype
    memory = memory_need(config, recipe.train, rows, dtype)
    costs = cost_values(config, LIVES[recipe.model.family].count(config, recipe.train), FAMILIES[type(config)].writes)
    values = {
        "kind": "recipe",
        "path": str(path),
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "parameters": parameters,
        "tokens_per_step": tokens,
        "costs": costs,
        "training_bytes": {**vars(memory), "total": memory.total},
    }
    limits = {"time": recipe.train.time, "steps": recipe.train.steps, "tokens": recipe.train.tokens}
    return Card(
        f"{path}: a recipe for {family_of(config)} of {format_count(parameters['all'])} parameters",
        values,
        {
            "Text": [("source", ", ".join(recipe.corpus.sources())), ("tokenizer", _tokenizer_text(recipe))],
            "Shape": shape_rows(config),
            "Parameters": parameter_rows(config),
            "Training": [
                *((name, str(value)) for name, value in limits.items() if value is not None),
                ("tokens per step", f"{tokens:,} ({recipe.train.batch_size} rows of {config.context_length:,})"),
                ("memory", f"some {memory}, with {rows} rows at once in {dtype}; the process itself comes on top"),
            ],
            "Costs": cost_rows(costs),
        },
        f"Do it: {command(['textmill', 'run', path])}",
    )


def _tokenizer_text(recipe: Recipe) -> str:
    return f"{recipe.tokenizer.kind}, {recipe.tokenizer.vocabulary_size:,} tokens at most"
