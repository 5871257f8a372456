"""From a request for tags of words to its answer: /v1/tag."""

import asyncio
from typing import Any

from ..inference.tag import Asked, Emissions
from .errors import ApiError, naming
from .reading_schema import TagBody
from .readings import inputs_of, read
from .served import Served

PATH = "/v1/tag"
MOST_SCORES = 1_000_000  # tokens times labels, of one request


async def tagged(served: Served, body: TagBody) -> tuple[dict[str, Any], int]:
    """The answer with the entities and the tags of texts, and the tokens that were read. Raises ApiError, EngineFull."""
    served.reader(PATH)  # raises where it has none
    task = served.task
    assert task is not None
    with naming("input"):
        asked = await asyncio.to_thread(Asked, task, served.tokenizer, body.texts())
    windows = asked.inputs
    if (wanted := sum(map(len, windows)) * len(task.config.labels)) > MOST_SCORES:
        message = f"tokens times labels are at most {MOST_SCORES:,}, found {wanted:,}; ask for some of the texts"
        raise ApiError(400, message, "input", "invalid_value")
    inputs = await inputs_of(served, {f"input, window {n}": ids for n, ids in enumerate(windows)}, served.tokenizer.encode)
    emissions = await read(served, PATH, inputs, Emissions(task))
    found = await asyncio.to_thread(asked.tagged, emissions)
    tokens = sum(map(len, inputs))
    data = [{"object": "tags", "index": place, **each.to_dict()} for place, each in enumerate(found)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": served.name, "usage": usage}, tokens
