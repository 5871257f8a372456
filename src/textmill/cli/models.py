"""The verbs that take a model folder."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import GenerationError
from .app import app


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
    from .. import load
    from ..inference.generate import generate as write_on
    from ..inference.sampling import Sampling
    from ..machine.device import best_device

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
