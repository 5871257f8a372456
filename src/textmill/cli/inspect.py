"""The verb that shows what something is."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A model folder, a run folder, or a recipe.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a value of a recipe; may be given many times."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print the model's picture as Mermaid, made from the live modules.")
    ] = False,
) -> None:
    """Show what a model, a run or a recipe is, what it costs, and how to go on."""
    from ..inspection.inspect import inspect as card_of
    from ..inspection.inspect import picture_of

    if mermaid:
        print(picture_of(path, overrides or []), end="")
        return
    card = card_of(path, overrides or [])
    print(json.dumps(card.values, ensure_ascii=False, indent=2) if as_json else card.render())
