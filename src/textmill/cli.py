"""The command line: each verb parses its words, calls one function and prints.

Nothing heavy is imported before a verb needs it, so that --help answers at once.
"""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import GenerationError, TextmillError

if TYPE_CHECKING:
    from .recipe import Recipe

app = typer.Typer(
    name="textmill",
    help="Text and a budget in; a language model you can trust, explain and serve out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/wikipedia-sample.toml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a value of the recipe; may be given many times."),
]
OutFolder = Annotated[Path | None, typer.Option("--out", help="The run folder; default: runs/ and the recipe's name.")]
Restart = Annotated[bool, typer.Option("--restart", help="Throw away what was trained before in the run folder.")]


def _run(recipe_path: Path, overrides: list[str] | None, out: Path | None, restart: bool, until: str) -> tuple[Path, "Recipe"]:
    from .recipe import load_recipe

    recipe = load_recipe(recipe_path, overrides or [])
    folder = out or Path("runs") / recipe_path.stem
    from .run import run_recipe

    run_recipe(recipe, folder, until, restart)
    return folder, recipe


@app.command()
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    out: OutFolder = None,
    restart: Restart = False,
    until: Annotated[
        str, typer.Option(help="The last stage to do: corpus, tokenizer, tokens, train, model, evaluate.")
    ] = "evaluate",
) -> None:
    """Do the whole life of a model: every stage of a recipe that isn't done yet."""
    folder, whole = _run(recipe, overrides, out, restart, until)
    if until == "evaluate":
        from .closing import closing_words

        print(closing_words(recipe, folder, whole.train))


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
    section: Annotated[str | None, typer.Argument(help="One section: corpus, tokenizer, model, train, evaluate.")] = None,
) -> None:
    """Explain every key that a recipe can have: type, default, meaning."""
    from .recipe import describe_fields

    for key, kind, default, meaning in describe_fields(section):
        print(f"{key}  ({kind}; {default})\n    {meaning}\n")


@app.command()
def sample(name: Annotated[str, typer.Argument(help="wikipedia or standard-library.")]) -> None:
    """Fetch a sample text into the user's cache and print its path."""
    from .corpus.samples import fetch_sample
    from .progress import Progress

    with Progress("sample", None, "bytes", sys.stderr) as progress:
        path = fetch_sample(name, progress)
    print(path)


@app.command()
def generate(
    model: Annotated[Path, typer.Argument(help="A model folder, such as runs/wikipedia-sample/model.")],
    prompt: Annotated[str, typer.Argument(help="The text to go on from; - reads standard input.")] = "",
    max_tokens: Annotated[int, typer.Option(help="Most tokens to write.")] = 200,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token; higher is wilder.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens only.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens that together have this probability.")] = 0.95,
    min_p: Annotated[float, typer.Option(help="Leave out tokens less likely than this share of the likeliest.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: tokens of the text so far become less likely.")] = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given many times.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
) -> None:
    """Let a model write on from a prompt, streaming."""
    from . import load
    from .inference.generate import generate as write_on
    from .inference.sampling import Sampling
    from .machine import best_device

    sampling = Sampling(repetition_penalty, temperature, top_k, top_p, min_p, seed)
    folder = load(model)
    folder.model.to(best_device())
    text = _standard_input() if prompt == "-" else prompt
    pieces = write_on(folder.model, folder.tokenizer, text, sampling, max_tokens, stop or [])
    sys.stdout.write(text)
    for piece in pieces:
        sys.stdout.write(piece.text)
        sys.stdout.flush()
    sys.stdout.write("\n")
    if piece.finish_reason == "context":
        print(f"(the model's context of {folder.model.config.context_length} tokens is full)", file=sys.stderr)


def _standard_input() -> str:
    content = sys.stdin.buffer.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise GenerationError(
            f"standard input is not UTF-8: byte {content[error.start]:#04x} at {error.start}; convert it first"
        ) from error


def main() -> None:
    """Run the command line. A user's mistake is told in plain words, with exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sample's character that a terminal can't show ends no training
    try:
        app()
    except TextmillError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; nothing that was finished before is lost", file=sys.stderr)
        sys.exit(2)
