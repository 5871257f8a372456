"""The recipe: one model's life as one typed, documented TOML file, joined from the sections that the packages own.

All mistakes of a recipe are reported together; an unknown key is answered with the nearest one that exists.
"""

import difflib
import json
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic
import tomli_w

from .corpus.settings import CorpusSettings
from .errors import ModelError, RecipeError, nearest
from .evaluation.settings import EvaluationSettings
from .formats.settings import ExportSettings, export_problems
from .ledger import LedgerSettings
from .models.settings import ModelSettings
from .settings import Settings
from .tokens.settings import TokenizerSettings
from .training.settings import TrainSettings, seconds_of, unfit_attention, unfit_contexts, unfit_family

Sections = TypeVar("Sections", bound=Settings)


class Recipe(Settings):
    """One model's life. Every section but `[corpus]` and `[train]` may be left out."""

    corpus: CorpusSettings
    """Where the text comes from, and how it is cleaned and split."""

    tokenizer: TokenizerSettings = TokenizerSettings()
    """How text becomes tokens."""

    model: ModelSettings = ModelSettings()
    """The model's shape."""

    train: TrainSettings
    """How long and how it learns."""

    evaluate: EvaluationSettings = EvaluationSettings()
    """How it is judged."""

    export: ExportSettings = ExportSettings()
    """What it is written as."""

    ledger: LedgerSettings = LedgerSettings()
    """What energy and the machine cost."""

    def to_toml(self) -> str:
        """The whole recipe, defaults included, as TOML. Fields without a value are left out: TOML has no null."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True), multiline_strings=True)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides such as `train.steps=500`. Raises RecipeError with all mistakes at once."""
    path = Path(path)
    if path.is_dir():
        raise RecipeError(_folder_for_recipe(path))
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        near = nearest(path.name, [other.name for other in sorted(path.parent.glob("*.toml"))])
        raise RecipeError(
            f"there is no recipe {path}{near or '; give a .toml file, such as recipes/wikipedia-sample.toml'}"
        ) from error
    except PermissionError as error:
        raise RecipeError(f"{path} can't be read: no permission") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        text = "" if path.suffix == ".toml" else f"; give a recipe, a .toml file, and text to learn from by {_learn_from(path)}"
        raise RecipeError(f"{path} is not valid TOML: {error}{text}") from error
    override(values, overrides)
    return check_recipe(values, str(path))


def _folder_for_recipe(folder: Path) -> str:
    """What to give instead of a folder: a run's own recipe, or one that learns from the folder's text."""
    if (folder / "recipe.toml").is_file():
        return f"{folder} is a folder, of a run; give {folder / 'recipe.toml'} and --out {folder}"
    return f"{folder} is a folder; give a recipe, a .toml file, and text to learn from by {_learn_from(folder)}"


def _learn_from(source: Path) -> str:
    return shlex.join(["--set", f"corpus.source={source}"])


def check_recipe(values: dict[str, Any], where: str) -> Recipe:
    """A Recipe from plain values. Raises RecipeError with all mistakes at once."""
    recipe = settings_of(Recipe, values, where)
    if recipe.train.time is not None:  # what it leaves open is chosen once and for all, and written into the run folder
        seconds = seconds_of(recipe.train.time)
        fitting = {"model": recipe.model.for_time(seconds), "evaluate": recipe.evaluate.for_time(seconds)}
        recipe = recipe.model_copy(update=fitting)
    try:
        config = recipe.model.config(recipe.tokenizer.vocabulary_size)  # a shape that doesn't fit is told now
    except ModelError as error:
        raise RecipeError(*(f"{where}: [model] {problem}" for problem in error.problems)) from None
    problems = unfit_contexts(recipe.train, recipe.model.context_length) + unfit_family(recipe.train, recipe.model.family)
    if recipe.tokenizer.fold:
        problems.append(
            "tokenizer.fold: folded words can't give a text back, and are for tasks alone (textmill tune); leave it out"
        )
    problems += unfit_attention(recipe.train, getattr(config, "windows", ()))
    problems += export_problems(recipe.export, config, recipe.model.architecture)
    if problems:
        raise RecipeError(*(f"{where}: {problem}" for problem in problems))
    return recipe


def settings_of(kind: type[Sections], values: dict[str, Any], where: str) -> Sections:
    """A recipe's sections from plain values. Raises RecipeError with all mistakes at once."""
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise RecipeError(*dict.fromkeys(f"{where}: {_explain(mistake, kind)}" for mistake in error.errors())) from None


def overridden(sections: Settings, overrides: Iterable[str]) -> dict[str, Any]:
    """What was said of a recipe's sections, with overrides such as `train.steps=500`: plain values."""
    values = {name: getattr(sections, name).model_dump(mode="json", exclude_unset=True) for name in type(sections).model_fields}
    override(values, overrides)
    return values


def override(values: dict[str, Any], overrides: Iterable[str]) -> None:
    """Put overrides such as `train.steps=500` into the values of a recipe. Raises RecipeError with all that is wrong with
    them."""
    problems = [problem for each in overrides for problem in _apply(values, each)]
    if problems:
        raise RecipeError(*problems)


def _apply(values: dict[str, Any], override: str) -> Iterator[str]:
    """Put one `section.key=value` into `values`; yields what is wrong with it."""
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or len(path) != 2 or not all(path):
        yield f"--set {override}: write section.key=value, such as train.steps=500"
        return
    section, name = path
    if not isinstance(values.setdefault(section, {}), dict):
        yield f"--set {override}: {section} is not a section of the recipe"
        return
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word, such as a path or a time
    values[section][name] = value


def _explain(mistake: Any, kind: type[Settings]) -> str:
    """One of pydantic's mistakes in the recipe's own terms."""
    names: list[str] = []
    settings: type[Settings] | None = kind
    field = None
    for part in mistake["loc"]:
        known = settings.model_fields if settings is not None else {}
        if mistake["type"] == "extra_forbidden" and part not in known:
            where = ".".join([*names, str(part)])
            what = "key" if names else "section"
            return f"unknown {what} {where}{nearest(str(part), known)} (known: {', '.join(known)})"
        if part not in known:
            break  # pydantic names the branch of a union here
        names.append(str(part))
        field = known[part]
        annotation = field.annotation
        settings = annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else None
    where = ".".join(names)
    if mistake["type"] == "missing":
        what = f"{where} is missing"
    else:
        message = mistake["msg"].removeprefix("Value error, ")
        what = f"{where}: {message[0].lower()}{message[1:]}"
        if not isinstance(mistake["input"], dict):
            what += f"; found {mistake['input']!r}"
    meaning = " ".join((field.description or "").split()) if field is not None and settings is None else ""
    return f"{what}. {where.rpartition('.')[2]}: {meaning}" if meaning else what


def describe_fields(name: str | None = None, recipe: type[Settings] = Recipe) -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, documentation) of each field, as `textmill recipe` prints them: of all, of a section such as
    `train`, or of one key such as `train.time`; `recipe` is the kind they belong to. Raises RecipeError, with the nearest, for
    a name that isn't there."""
    fields = {
        f"{section}.{key}": field
        for section, holder in recipe.model_fields.items()
        for key, field in holder.annotation.model_fields.items()  # type: ignore[union-attr]
    }
    if name is not None and name not in fields and name not in recipe.model_fields:
        raise RecipeError(f"there is no {_nearest_field(name, fields)}")
    for path, field in fields.items():
        if name in (None, path, path.partition(".")[0]):
            default = "required" if field.is_required() else f"default {json.dumps(field.default, ensure_ascii=False)}"
            default = "may be left out" if field.default is None else default
            kind = _words_for(field.annotation, field.metadata)
            yield path, kind, default, " ".join((field.description or "").split())


def _nearest_field(name: str, fields: Iterable[str]) -> str:
    """What a name that is no section and no key may have meant."""
    section, dot, key = name.partition(".")
    keys = [path.partition(".")[2] for path in fields]
    alike = difflib.get_close_matches(key or section, keys, n=1, cutoff=0.8)
    homes = [path for path in fields if path.partition(".")[2] in alike]
    if homes and section not in Recipe.model_fields:
        return f"{name!r}; did you mean {' or '.join(map(repr, homes))}?"
    if not dot:
        return f"section {name!r}{nearest(name, Recipe.model_fields)}; write one of {', '.join(Recipe.model_fields)}"
    return f"key {name!r}{nearest(name, fields)}; `textmill recipe` explains them all"


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe, for editors: types, bounds and defaults, with the fields' own texts."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
    return _on_one_line(schema)


def _on_one_line(schema: Any) -> Any:
    """The schema with each description's line breaks gone."""
    if isinstance(schema, dict):
        return {
            key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _on_one_line(value)
            for key, value in schema.items()
        }
    return [_on_one_line(part) for part in schema] if isinstance(schema, list) else schema


def _words_for(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A field's type and bounds in a reader's words: `whole number, 1 or more`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *bounds = parts
        bounds = [bound for part in bounds for bound in (getattr(part, "metadata", None) or [part])]
        return _words_for(inner, bounds)
    if origin in (Union, UnionType):
        return " or ".join(_words_for(part) for part in parts if part is not NoneType)
    if origin is Literal:
        return ", ".join(json.dumps(part) for part in parts)
    if origin in (list, tuple):
        if origin is tuple and parts[-1] is not Ellipsis:
            return f"[{', '.join(map(_words_for, parts))}]"
        return f"list of {_words_for(parts[0])}"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]
    signs = {"ge": "{} or more", "gt": "above {}", "le": "{} or less", "lt": "below {}"}
    limits = [
        signs[sign].format(getattr(bound, sign))
        for bound in metadata
        for sign in signs
        if getattr(bound, sign, None) is not None
    ]
    return ", ".join([words, *limits])
