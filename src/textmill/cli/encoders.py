"""The verbs of models that read a text from both sides: fill in what is missing, and give vectors of texts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import GenerationError
from .app import app
from .models import standard_input
from .weights_option import Numbers, Weights, loaded


@app.command()
def fill(
    model: Annotated[Path, typer.Argument(help="An encoder's or an encoder–decoder's model folder, or its run folder.")],
    text: Annotated[str, typer.Argument(help="A text with <|mask|> wherever something is missing.")],
    top: Annotated[
        int | None, typer.Option(min=1, help="How many guesses of an encoder to show for each mask; default: 5.")
    ] = None,
    weights: Weights = Numbers.FLOAT32,
) -> None:
    """Let an encoder guess the masked words of a text, or an encoder–decoder what is missing from it."""
    from ..inference.fill import fill as guesses
    from ..inference.fill_spans import filled_spans

    folder = loaded(model, weights)
    if folder.model.family == "encoder-decoder":
        if top is not None:
            raise GenerationError("--top is for encoders: an encoder-decoder writes one answer for each mask; leave it out")
        print(filled_spans(folder.model, folder.tokenizer, text))
        return
    found = guesses(folder.model, folder.tokenizer, text, top or 5)
    for number, candidates in enumerate(found, start=1):
        if len(found) > 1:
            print(f"mask {number}")
        for candidate in candidates:
            print(f"  {candidate.probability:6.1%}  {candidate.text.strip()}")


@app.command()
def embed(
    model: Annotated[Path, typer.Argument(help="An encoder's model folder, its run folder, or sample:minilm.")],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="Texts; - reads one a line from standard input.")],
    out: Annotated[Path | None, typer.Option(help="Write a .npy file, a row a text, instead of JSON lines.")] = None,
    similarity: Annotated[bool, typer.Option("--similarity", help="Print how alike the texts are, as cosines.")] = False,
    weights: Weights = Numbers.FLOAT32,
) -> None:
    """Vectors of whole texts by an encoder, for search and comparison: JSON lines, a .npy file, or cosines."""
    import numpy as np

    from ..inference.embed import embed as vectors_of

    if out is not None and out.suffix != ".npy":
        raise GenerationError(f"--out {out}: vectors are written as .npy; write {out.with_suffix('.npy')}")
    given = [line for text in texts for line in (standard_input().splitlines() if text == "-" else [text])]
    folder = loaded(model, weights)
    vectors = vectors_of(folder.model, folder.tokenizer, given).numpy()
    if out is not None:
        np.save(out, vectors)
        print(f"{out}: {len(vectors):,} vectors of {vectors.shape[1]:,} numbers")
    if similarity:
        for number, row in enumerate(vectors @ vectors.T, start=1):
            print(" ".join([f"{number:>3}", *(f"{value:6.3f}" for value in row), f"  {given[number - 1][:60]}"]))
    elif out is None:
        for text, vector in zip(given, vectors.tolist(), strict=True):
            print(json.dumps({"text": text, "embedding": vector}, ensure_ascii=False))
