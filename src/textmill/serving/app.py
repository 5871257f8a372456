"""The HTTP API: OpenAI's, over the engines of the models that are served. It fetches nothing, and opens nothing by a name
that a request gives."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from .. import __version__
from ..inference.request import Delta
from ..inference.request import Request as EngineRequest
from . import errors, page
from .answers import Form
from .errors import ApiError
from .schema import Body, ChatBody, CompletionBody, EmbeddingBody
from .served import Served

MOST_BYTES = 2_000_000  # of a request's body
MOST_THROWN_AWAY = 50_000_000  # of a body that is larger
STILL_SECONDS = 30.0  # an engine that hasn't moved for so long, with work to do, is ill
OPEN_PATHS = {"/health", "/ready"}  # that need no key


def create_app(models: Mapping[str, Served], key_hashes: Collection[bytes] = ()) -> FastAPI:
    """The application that serves `models`, by their names. With `key_hashes` (SHA-256) every request needs such a key."""

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        for served in models.values():
            await asyncio.to_thread(served.close)

    app = FastAPI(title="textmill", version=__version__, lifespan=life)
    errors.install(app)
    app.include_router(page.router)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            if request.url.path not in OPEN_PATHS | page.PATHS:
                _check_key(request, key_hashes)
            await _check_size(request)
        except ApiError as error:
            return errors.response(error)
        return await call_next(request)

    def named(body: Body) -> Served:
        if body.model not in models:
            raise ApiError(
                404, f"there is no model {body.model:.100}; served are {', '.join(models)}", "model", "model_not_found"
            )
        return models[body.model]

    @app.get("/health")
    def health() -> JSONResponse:
        still = [name for name, served in models.items() if served.engine and not served.engine.alive(STILL_SECONDS)]
        return JSONResponse({"status": "ill" if still else "ok", "not_moving": still}, 503 if still else 200)

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_card(served) for served in models.values()]}

    @app.get("/v1/models/{name:path}")
    def get_model(name: str) -> dict[str, Any]:
        return _card(named(Body(model=name)))

    @app.post("/v1/chat/completions")
    async def chat(body: ChatBody, request: Request) -> Response:
        served, ignored = named(body), body.ignored()
        engine = served.writer()
        if body.top_logprobs is not None and not body.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", "top_logprobs", "invalid_value")
        prompt = await served.chat_prompt([message.said() for message in body.messages])
        logprobs = (body.top_logprobs or 0) if body.logprobs else None
        most = body.max_completion_tokens or body.max_tokens
        asked = body.request(prompt, logprobs, most, continues=False, salt=_salt(request))
        form = Form(True, served.name, served.tokenizer, len(prompt))
        return await _answered(request, engine.stream(asked), form, body, ignored, asked)

    @app.post("/v1/completions")
    async def complete(body: CompletionBody, request: Request) -> Response:
        served, ignored = named(body), body.ignored()
        engine = served.writer()
        prompt = await served.prompt(body.prompt)
        continues = bool(body.prompt) and served.model.family != "encoder-decoder"
        asked = body.request(prompt, body.logprobs, body.max_tokens, continues, _salt(request))
        form = Form(False, served.name, served.tokenizer, len(prompt))
        return await _answered(request, engine.stream(asked), form, body, ignored, asked)

    @app.post("/v1/embeddings")
    async def embeddings(body: EmbeddingBody) -> Response:
        served, ignored = named(body), body.ignored()
        texts = [body.input] if isinstance(body.input, str) else body.input
        vectors, tokens = await served.embedded(texts)
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": _encoded(vector) if body.encoding_format == "base64" else vector,
            }
            for place, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        content = {"object": "list", "data": data, "model": served.name, "usage": usage}
        return JSONResponse(content, headers=_headers(ignored))

    return app


async def _answered(
    request: Request, deltas: AsyncIterator[Delta], form: Form, body: Any, ignored: list[str], asked: EngineRequest
) -> Response:
    """The answer, whole or as a stream, whose first token decides whether it is one. Who leaves, cancels it."""
    headers = {**_headers(ignored), "X-Seed": str(asked.sampling.seed), "X-Max-Tokens": str(asked.max_tokens)}
    if body.stream:
        first = await anext(deltas)
        usage = body.stream_options is not None and body.stream_options.include_usage
        stream = form.chunks(_behind(first, deltas), usage)
        return StreamingResponse(stream, media_type="text/event-stream", headers={**headers, "Cache-Control": "no-cache"})
    collecting = asyncio.ensure_future(_collected(deltas))
    leaving = asyncio.ensure_future(_left(request))
    await asyncio.wait([collecting, leaving], return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if not collecting.done():
        collecting.cancel()
        return Response(status_code=499)  # nobody reads it
    return JSONResponse(form.whole(collecting.result()), headers=headers)


async def _collected(deltas: AsyncIterator[Delta]) -> list[Delta]:
    async with contextlib.aclosing(deltas):  # type: ignore[type-var]
        return [delta async for delta in deltas]


async def _behind(first: Delta, deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    async with contextlib.aclosing(deltas):  # type: ignore[type-var]
        yield first
        async for delta in deltas:
            yield delta


async def _left(request: Request) -> None:
    """Returns once the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _card(served: Served) -> dict[str, Any]:
    """What is told of a model."""
    return {"id": served.name, "object": "model", "created": served.created, "owned_by": "textmill"}


def _headers(ignored: list[str]) -> dict[str, str]:
    names = [name.encode("ascii", "replace").decode() for name in ignored]
    return (
        {"X-Ignored-Params": ", ".join("".join(c for c in name if c.isprintable())[:100] for name in names[:50])}
        if ignored
        else {}
    )


def _encoded(vector: list[float]) -> str:
    return base64.b64encode(np.array(vector, dtype="<f4").tobytes()).decode()


def _salt(request: Request) -> str:
    """Who asks: what the engine remembers of one key's prompts, another doesn't find."""
    return request.headers.get("authorization", "")


def _check_key(request: Request, key_hashes: Collection[bytes]) -> None:
    """Raise ApiError where a key is needed and none that is known is given. Every key is compared, in constant time."""
    if not key_hashes:
        return
    given = hashlib.sha256(request.headers.get("authorization", "").removeprefix("Bearer ").encode()).digest()
    if not sum(hmac.compare_digest(given, known) for known in key_hashes):
        raise ApiError(401, "a key is needed: Authorization: Bearer KEY", code="invalid_api_key")


async def _check_size(request: Request) -> None:
    """Raise ApiError for a body that is too large, without reading more than may be."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MOST_BYTES:
        thrown_away = 0  # a client that is still sending doesn't read an answer
        async for piece in request.stream():
            thrown_away += len(piece)
            if thrown_away > MOST_THROWN_AWAY:
                break
        raise ApiError(413, f"the body has {int(length):,} bytes; at most {MOST_BYTES:,} are read", code="body_too_large")
    if request.method == "POST" and not length.isdigit():
        raise ApiError(411, "a body needs its content-length", code="length_required")
