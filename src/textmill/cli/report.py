"""The verb that shows a run to a person who would rather look than read."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ..errors import RunError
from .app import app


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder, such as runs/wikipedia-sample; finished or not.")],
    language: Annotated[
        str | None, typer.Option(help="What the page shows first: en or zh; default: what the environment asks for.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Write the learning curve to this .svg file instead.")] = None,
) -> None:
    """Write a run's report.html anew: one page that needs no network."""
    from ..report.page import write_picture, write_report
    from ..report.task_page import is_task_folder, write_task_page

    if picture is not None and language is not None:
        raise RunError("--picture is in English whatever --language says; leave one of them out")
    if picture is not None:
        path = write_picture(run, picture)
    else:
        path = write_task_page(run, language) if is_task_folder(run) else write_report(run, language)
    print(path)
    if open_it:
        webbrowser.open(path.resolve().as_uri())
