"""The verb that serves models to many users at once."""

import functools
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import GenerationError
from .app import app
from .weights_option import Numbers, Weights, loaded

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def name_of(path: Path) -> str:
    """What requests call a model: the name of its folder, also of one that is given as `.`, or of a sample."""
    return Path(os.path.abspath(path)).name.removeprefix("sample:")


@app.command()
def serve(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL", help="Model folders, run folders, or samples such as sample:smollm2.")
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen at; others than this machine's own need --api-keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen at; 0 takes a free one.")] = 8000,
    api_keys: Annotated[Path | None, typer.Option(help="A file with the keys that are let in, one a line.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Answers that are written at once.")] = 16,
    queue: Annotated[int, typer.Option(min=1, help="Answers that may wait; who comes after them is sent away (429).")] = 64,
    weights: Weights = Numbers.FLOAT32,
    draft: Annotated[
        Path | None,
        typer.Option(help="A small decoder of the same tokens, which guesses; no answer changes by it."),
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Requests that a key may make in a minute; no limit by default.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Tokens that may be read and written for a key in a minute; no limit by default.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds that an answer may take, waiting included; no limit by default.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0.1, help="Seconds that a client may leave its stream unread before it is cut.")
    ] = 30.0,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Log prompts and answers too, the first 2,000 characters of each.")
    ] = False,
) -> None:
    """Serve models through OpenAI's API, to many users at once."""
    from ..serving import log
    from ..serving.limits import Limits
    from ..serving.loading import loading
    from ..serving.server import listen, read_keys, run

    if host not in LOOPBACK and api_keys is None:
        raise GenerationError(
            f"--host {host} lets other machines in, and without keys everybody; give --api-keys FILE, one key a line"
        )
    keys = read_keys(api_keys) if api_keys is not None else []
    listening = listen(host, port)
    log.install()
    warn = functools.partial(logging.getLogger("textmill.models").warning, "%s: %s")
    folders = {}
    with loading(listening):
        for path in models:
            name = name_of(path)
            if name in folders:
                raise GenerationError(f"two models are called {name}; requests name them so, so rename one of their folders")
            folders[name] = loaded(path, weights, to_write=True, say=functools.partial(warn, name))
        guessing = loaded(draft, say=functools.partial(warn, name_of(draft))) if draft is not None else None
        if guessing is not None and not any(folder.model.writes for folder in folders.values()):
            raise GenerationError(f"--draft {draft} guesses what is written, and none of these models writes; leave it out")
    limits = Limits(requests_per_minute, tokens_per_minute)
    run(listening, folders, keys, rows, queue, limits, deadline, patience, guessing, log_prompts)
