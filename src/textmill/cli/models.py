"""The verbs that let a model write."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GenerationError
from .app import app
from .sampling_options import changed, with_sampling_options
from .weights_option import Numbers, Weights, loaded

if TYPE_CHECKING:
    from ..inference.sampling import Sampling

MaxTokens = Annotated[int, typer.Option(help="Most tokens to write at once.")]
Stop = Annotated[list[str] | None, typer.Option(help="End before this text; may be given many times.")]
Model = Annotated[Path, typer.Argument(help="A model folder, a run folder such as runs/wikipedia-sample, or sample:smollm2.")]


@app.command()
@with_sampling_options
def generate(
    model: Model,
    prompt: Annotated[str, typer.Argument(help="The text to go on from, or to make another of; - reads standard input.")] = "",
    max_tokens: MaxTokens = 200,
    *,
    sampling: "Sampling",
    stop: Stop = None,
    weights: Weights = Numbers.FLOAT32,
    beams: Annotated[int, typer.Option(min=1, help="Above 1: the likeliest whole answer that so many beams find.")] = 1,
) -> None:
    """Let a model write on from a prompt, streaming; an encoder–decoder writes what it makes of the text."""
    from ..inference.beam import BeamSearch
    from ..inference.chat import write
    from ..inference.generate import generate as write_on
    from ..inference.likeliest import likeliest
    from ..inference.pace import Pace

    given = [*changed(sampling), *(["--stop"] if stop else [])]
    if beams > 1 and given:
        raise GenerationError(
            f"--beams looks for the likeliest answer, so nothing is drawn or stopped at; leave out {', '.join(given)}"
        )
    folder = loaded(model, weights, to_write=True)
    text = standard_input() if prompt == "-" else prompt
    beginning = "" if folder.model.family == "encoder-decoder" else text
    if beams > 1:
        [[best, *_]] = likeliest(folder.model, folder.tokenizer, [text], BeamSearch(beams), max_tokens)
        write(beginning + best + "\n")
        return
    pace = Pace(folder.model)
    pieces = write_on(folder.model, folder.tokenizer, text, sampling, max_tokens, stop or [])
    write(beginning)
    for piece in pace.watched(pieces):
        write(piece.text)
    write("\n")
    if piece.finish_reason == "context":
        print(f"(the model's context of {folder.model.config.context_length} tokens is full)", file=sys.stderr)
    if said := pace.line():
        print(said, file=sys.stderr)


@app.command()
@with_sampling_options
def chat(
    model: Model,
    system: Annotated[str | None, typer.Option(help="How the model is to answer, said beforehand in its template.")] = None,
    max_tokens: MaxTokens = 200,
    *,
    sampling: "Sampling",
    stop: Stop = None,
    weights: Weights = Numbers.FLOAT32,
) -> None:
    """Converse with a model in its chat template, or write a text together with a base model; also over a pipe."""
    from ..inference.chat import Chat

    folder = loaded(model, weights, to_write=True)
    Chat(folder.model, folder.tokenizer, sampling, max_tokens, stop, system).run()


def standard_input() -> str:
    """All of standard input. Raises GenerationError where it is no UTF-8."""
    content = sys.stdin.buffer.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise GenerationError(
            f"standard input is not UTF-8: byte {content[error.start]:#04x} at {error.start}; convert it first"
        ) from error
