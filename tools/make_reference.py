"""Write docs/reference.md, docs/recipe.schema.json and docs/picture.md from the code's own texts: `make reference`.

The recipe's keys come from the fields' docstrings, the verbs from the live command line, the picture from live modules.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from textmill.cli import app
from textmill.cli.app import EXAMPLES, GROUPS
from textmill.files import write_text
from textmill.inspection.mermaid import model_picture
from textmill.models.settings import ModelSettings
from textmill.recipe import Recipe, describe_fields, recipe_schema
from textmill.settings import Settings
from textmill.tasks.settings import DialogueRecipe, TaskRecipe

DOCS = Path(__file__).parents[1] / "docs"


def pages() -> dict[Path, str]:
    """Each generated file and its text."""
    return {
        DOCS / "reference.md": "\n".join(_reference()) + "\n",
        DOCS / "recipe.schema.json": json.dumps(recipe_schema(), ensure_ascii=False, indent=2) + "\n",
        DOCS / "picture.md": "\n".join(_picture()) + "\n",
    }


def _reference() -> Iterator[str]:
    yield from ["# Reference", "", "Made by `make reference` from the code's own texts; don't edit it here.", ""]
    yield from ["## The recipe", "", "A TOML file. `--set section.key=value` changes a key for one run. An editor that knows"]
    yield from ["[TOML schemas](recipe.schema.json) completes keys where a recipe begins with this line:", ""]
    yield from ["```toml", "#:schema ../docs/recipe.schema.json", "```", ""]
    for section in Recipe.model_fields:
        yield from _section(section, Recipe)
    yield from ["## How a task is learnt", "", "`textmill tune` takes these with `--set`, too, and those of `[model]` and"]
    yield from ["`[tokenizer]` above for a model from scratch. [Tasks](tasks.md)", ""]
    yield from _section("learn", TaskRecipe)
    yield from ["For `chat` and `prefer` some defaults differ, and there are some more:", ""]
    yield from _section("learn", DialogueRecipe)
    yield from ["## The verbs", ""]
    group: Any = get_command(app)
    for title, verbs in GROUPS.items():
        yield from [f"### {title}", ""]
        for verb in verbs:
            yield from _verb(verb, group.commands[verb])


def _section(section: str, recipe: type[Settings]) -> Iterator[str]:
    """One section's keys."""
    yield from [f"### [{section}]", "", " ".join((recipe.model_fields[section].description or "").split()), ""]
    yield from ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key, kind, default, meaning in describe_fields(section, recipe):
        short = default.removeprefix("default ")
        value = f"`{short}`" if default.startswith("default ") else short
        yield f"| `{key.partition('.')[2]}` | {_cell(kind)} | {_cell(value)} | {_cell(meaning)} |"
    yield ""


def _verb(verb: str, command: Any) -> Iterator[str]:
    """One verb: what it does, how it is called, its options."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    yield from [f"#### textmill {verb}", "", command.help.strip(), ""]
    yield from ["```sh", " ".join(["textmill", verb, *command.collect_usage_pieces(_context(command))]), "```", ""]
    yield from ["| | meaning | default |", "|---|---|---|"]
    for parameter in [*arguments, *options]:
        if parameter.name == "help":
            continue
        name = parameter.name.upper() if parameter in arguments else ", ".join(parameter.opts)
        default = "required" if parameter.required else _default(parameter)
        yield f"| `{name}` | {_cell(parameter.help or '')} | {default} |"
    yield from ["", "```sh", *(f"textmill {example}" for example in EXAMPLES[verb]), "```", ""]


def _context(command: Any) -> Any:
    return command.make_context(command.name, [], resilient_parsing=True)


def _default(parameter: Any) -> str:
    return "" if parameter.default in (None, False, "") else f"`{parameter.default}`"


def _picture() -> Iterator[str]:
    yield from [
        "# A model's picture",
        "",
        "The decoder of preset `3m` with a vocabulary of 8,192 tokens, drawn by running it once",
    ]
    yield from ["(`textmill inspect recipes/wikipedia-sample.toml --mermaid`). B is the batch, T the length of the text."]
    yield from ["Made by `make reference`.", "", "```mermaid"]
    yield model_picture(ModelSettings(preset="3m").config(8192)).rstrip("\n")
    yield "```"


def _cell(text: str) -> str:
    """Text in a cell of a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for path, text in pages().items():
        write_text(path, text)
        print(path.relative_to(DOCS.parent))
