"""The verbs that take a recipe through its stages."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app

if TYPE_CHECKING:
    from ..recipe import Recipe

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/wikipedia-sample.toml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a value of the recipe; may be given many times."),
]
OutFolder = Annotated[Path | None, typer.Option("--out", help="The run folder; default: runs/ and the recipe's name.")]
Restart = Annotated[bool, typer.Option("--restart", help="Throw away what was trained before in the run folder.")]


def _run(recipe_path: Path, overrides: list[str] | None, out: Path | None, restart: bool, until: str) -> tuple[Path, "Recipe"]:
    from ..recipe import load_recipe

    recipe = load_recipe(recipe_path, overrides or [])
    folder = out or Path("runs") / recipe_path.stem
    from ..run import run_recipe

    run_recipe(recipe, folder, until, restart)
    return folder, recipe


@app.command()
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    out: OutFolder = None,
    restart: Restart = False,
    until: Annotated[
        str, typer.Option(help="The last stage to do: corpus, tokenizer, tokens, train, model, evaluate, report.")
    ] = "report",
) -> None:
    """Do the whole life of a model: every stage of a recipe that isn't done yet."""
    folder, whole = _run(recipe, overrides, out, restart, until)
    if until == "report":
        from ..closing import closing_words

        print(closing_words(recipe, folder, whole))


@app.command()
def corpus(recipe: RecipePath, overrides: Overrides = None, out: OutFolder = None) -> None:
    """Read and clean a recipe's text; split it into training and validation."""
    _run(recipe, overrides, out, False, "corpus")


@app.command()
def tokenizer(recipe: RecipePath, overrides: Overrides = None, out: OutFolder = None) -> None:
    """Train a recipe's tokenizer, after the stages before it."""
    _run(recipe, overrides, out, False, "tokenizer")


@app.command()
def tokens(recipe: RecipePath, overrides: Overrides = None, out: OutFolder = None) -> None:
    """Turn a recipe's text into token shards, after the stages before it."""
    _run(recipe, overrides, out, False, "tokens")


@app.command()
def train(recipe: RecipePath, overrides: Overrides = None, out: OutFolder = None, restart: Restart = False) -> None:
    """Train a recipe's model, after the stages before it; goes on where it was stopped."""
    _run(recipe, overrides, out, restart, "train")


@app.command()
def recipe(
    name: Annotated[
        str | None, typer.Argument(help="A section, such as train, or a key, such as train.time; default: all.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a recipe, for editors.")] = False,
) -> None:
    """Explain every key that a recipe can have: type, default, meaning."""
    from ..recipe import describe_fields, recipe_schema

    if schema:
        print(json.dumps(recipe_schema(), ensure_ascii=False, indent=2))
        return
    for key, kind, default, meaning in describe_fields(name):
        print(f"{key}  ({kind}; {default})\n    {meaning}\n")


@app.command()
def sample(name: Annotated[str | None, typer.Argument(help="Which one; without a name, all are listed.")] = None) -> None:
    """Fetch a sample, text, pairs or weights, into the user's cache and print its path; or list the samples there are."""
    from ..corpus.samples import SAMPLES, fetch_sample
    from ..progress import Progress

    if name is None:
        for each in SAMPLES.values():
            print(f"{each.name}  ({each.kind}; {each.size}; {each.licence})\n    {each.contents}\n")
        return
    with Progress("sample", None, "bytes", sys.stderr) as progress:
        path = fetch_sample(name, progress)
    print(path)
