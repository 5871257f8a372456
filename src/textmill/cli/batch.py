"""The verb that answers a file of requests."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import GenerationError
from .app import app
from .serve import name_of
from .weights_option import Numbers, Weights, loaded


@app.command()
def batch(
    model: Annotated[Path, typer.Argument(help="A model folder, a run folder, or a sample such as sample:smollm2.")],
    requests: Annotated[Path, typer.Argument(help="Requests in OpenAI's batch format, one a line of JSON.")],
    out: Annotated[Path, typer.Argument(help="Where the answers go; what it answers already isn't asked again.")],
    rows: Annotated[int, typer.Option(min=1, help="Answers that are written at once.")] = 16,
    weights: Weights = Numbers.FLOAT32,
) -> None:
    """Answer a file of requests (OpenAI's batch format); killed and started again, it goes on."""
    from ..serving import batch_file
    from ..serving.schema import MOST_CHOICES
    from ..serving.served import Served

    if out.exists() and requests.exists() and out.samefile(requests):
        raise GenerationError(f"{out} holds the requests; give the answers a file of their own")
    folder = loaded(model, weights, to_write=True)
    waiting = 2 * rows  # so that no row is idle while an answer is written down
    served = Served(name_of(model), folder, 0, rows, waiting * MOST_CHOICES)
    try:
        answers, failed = batch_file.run(served, requests, out, waiting)
    finally:
        served.close()
    print(f"{out}: {answers} answers" + (f", {failed} of the new ones errors" if failed else ""))
