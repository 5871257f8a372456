"""From a request for readings to its answer: what an encoder gives for texts, in OpenAI's form where it has one."""

import asyncio
import base64
import contextlib
import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from ..inference.embed import Vector
from ..inference.encoder_engine import Readings
from ..inference.fill import MaskedTokens, masked_input
from ..inference.reading import Wanted, unreadable
from .errors import ApiError, naming
from .reading_schema import EmbeddingBody, FillBody
from .served import Served

Answer = Callable[[Served, Any], Awaitable[tuple[dict[str, Any], int]]]  # its JSON, and the tokens that were read

MOST_TOKENS = 300_000  # of all texts of one request, as many as OpenAI reads
MOST_CANDIDATES = 50_000  # for the masks of one request
DEFAULT_CANDIDATES = 5  # for one mask


async def embeddings(served: Served, body: EmbeddingBody) -> tuple[dict[str, Any], int]:
    """The answer with the vectors of texts, and the tokens that were read. Raises ApiError, EngineFull."""
    path, wanted = "/v1/embeddings", Vector()
    served.reader(path)
    inputs = await inputs_of(served, body.inputs(), served.tokenizer.encode_whole)
    vectors = [vector.numpy() for vector in await read(served, path, inputs, wanted)]
    base64_wanted = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": place, "embedding": _base64(vector) if base64_wanted else vector.tolist()}
        for place, vector in enumerate(vectors)
    ]
    return _answer(served, data, inputs)


async def fill(served: Served, body: FillBody) -> tuple[dict[str, Any], int]:
    """The answer with the likeliest tokens for each mask, and the tokens that were read. Raises ApiError, EngineFull."""
    path, wanted = "/v1/fill", MaskedTokens(served.tokenizer, body.top_k or DEFAULT_CANDIDATES)
    served.reader(path)
    inputs = await inputs_of(served, body.inputs(), lambda text: masked_input(served.tokenizer, text))
    candidates = wanted.top * sum(token == served.tokenizer.mask_id for ids in inputs for token in ids)
    if candidates > MOST_CANDIDATES:
        message = f"masks times top_k are at most {MOST_CANDIDATES:,}, found {candidates:,}; ask for some of them"
        raise ApiError(400, message, "input", "invalid_value")
    found = await read(served, path, inputs, wanted)
    data = [
        {"object": "fill", "index": n, "masks": [[dataclasses.asdict(one) for one in mask] for mask in masks]}
        for n, masks in enumerate(found)
    ]
    return _answer(served, data, inputs)


async def inputs_of(served: Served, texts: Mapping[str, Any], encode: Callable[[str], list[int]]) -> list[list[int]]:
    """The tokens of each text, made off the event loop where they aren't given. Raises ApiError for the first that can't be
    read, by its name, and where they are too many together."""

    def encoded(name: str, text: str | list[int]) -> list[int]:
        with naming(name):
            ids = encode(text) if isinstance(text, str) else text
        if why := unreadable(served.model, ids):
            raise ApiError(400, f"{name} {why}", name, "invalid_value")
        return ids

    inputs = await asyncio.to_thread(lambda: [encoded(name, text) for name, text in texts.items()])
    if (tokens := sum(map(len, inputs))) > MOST_TOKENS:
        message = f"the texts of a request have at most {MOST_TOKENS:,} tokens together, found {tokens:,}; send fewer at once"
        raise ApiError(400, message, "input", "invalid_value")
    return inputs


async def read(served: Served, path: str, inputs: list[list[int]], wanted: Wanted) -> list[Any]:
    """What is wanted of each. Who stops waiting cancels it."""
    found: dict[int, Any] = {}
    async with contextlib.aclosing(served.reader(path).stream(Readings(inputs, wanted))) as stream:
        async for new in stream:
            found |= new.results
    return [found[place] for place in range(len(inputs))]


def written(content: dict[str, Any]) -> str:
    """The JSON of an answer, which may be megabytes of numbers: each part of its lists on its own, since the library lets no
    other thread go on within one call."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    members = (
        f"{encode(key)}:" + (f"[{','.join(map(encode, value))}]" if isinstance(value, list) else encode(value))
        for key, value in content.items()
    )
    return f"{{{','.join(members)}}}"


def _answer(served: Served, data: list[dict[str, Any]], inputs: list[list[int]]) -> tuple[dict[str, Any], int]:
    tokens = sum(map(len, inputs))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": served.name, "usage": usage}, tokens


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
