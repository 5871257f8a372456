"""Whatever a path is: its card, or what it is instead."""

from pathlib import Path

from ..errors import ModelError
from ..formats.opened_folder import open_model_folder
from ..formats.recognise import recognise
from ..formats.sources import model_path
from ..recipe import load_recipe
from .card import Card
from .mermaid import model_picture
from .model import model_card
from .recipe import recipe_card
from .run import run_card


def inspect(path: str | Path, overrides: list[str]) -> Card:
    """The card of whatever `path` is. Raises ModelError, which says what it is, where there is no card of it."""
    path = model_path(path)
    found = recognise(path)
    if found.kind == "run":
        return run_card(path)
    if found.kind == "recipe":
        return recipe_card(path, overrides)
    if found.kind == "model":
        return model_card(path)
    raise ModelError(str(found))


def picture_of(path: str | Path, overrides: list[str]) -> str:
    """The picture, as Mermaid, of a model, of a run's model, or of the model that a recipe would build."""
    path = model_path(path)
    kind = recognise(path).kind
    if kind == "recipe" or (kind == "run" and not (Path(path) / "model" / "config.json").is_file()):
        recipe = load_recipe(path if kind == "recipe" else Path(path) / "recipe.toml", overrides)
        return model_picture(recipe.model.config(recipe.tokenizer.vocabulary_size))
    opened = open_model_folder(path)
    return model_picture(opened.config, opened.layout.task)
