"""The HTTP API: OpenAI's, over the engines of the models that are served. It fetches nothing, and opens nothing by a name
that a request gives."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST

from .. import __version__
from ..inference.engine_thread import EngineThread
from ..inference.request import Request as EngineRequest
from . import errors, labelling, page, readings, requests, tagging
from .answers import Form, Piece, speed_headers
from .errors import ApiError
from .guard import Guard, caller
from .limits import Limits
from .log import Told
from .metrics import Metrics
from .reading_schema import ClassifyBody, EmbeddingBody, FillBody, ModerationBody, TagBody
from .record import Record
from .schema import Body, ChatBody, CompletionBody, WritingBody
from .served import Served

Result = TypeVar("Result")

STILL_SECONDS = 30.0  # an engine that hasn't moved for so long, with work to do, is ill
ASKED = {"messages", "prompt", "input"}  # each kind of body has one of them
OPEN_PATHS = {"/health", "/ready"}  # that need no key


def create_app(
    models: Mapping[str, Served],
    key_hashes: Collection[bytes] = (),
    limits: Limits | None = None,
    deadline: float | None = None,
    log_prompts: bool = False,
) -> FastAPI:
    """The application that serves `models`, by their names. With `key_hashes` (SHA-256) every request needs such a key, whose
    `limits` it must keep. `deadline`: seconds that an answer may take. `log_prompts`: texts are in the log too."""
    limits, metrics = limits or Limits(), Metrics(models)

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        for served in models.values():
            await asyncio.to_thread(served.close)

    # The library's own pages of documentation would load scripts from elsewhere.
    app = FastAPI(title="textmill", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, key_hashes=key_hashes, open_paths=OPEN_PATHS | page.PATHS, limits=limits)
    app.add_middleware(Record, metrics=metrics, limits=limits, deadline=deadline, log_prompts=log_prompts)
    errors.install(app)
    app.include_router(page.router)

    _tell(app, models, metrics)
    _write(app, models, metrics)
    _read(app, models)
    return app


def _tell(app: FastAPI, models: Mapping[str, Served], metrics: Metrics) -> None:
    """What is told of the server and of its models."""

    @app.get("/health")
    def health() -> JSONResponse:
        still = [name for name, served in models.items() if not served.engine.alive(STILL_SECONDS)]
        rows = {name: served.engine.rows() for name, served in models.items()}
        return JSONResponse({"status": "ill" if still else "ok", "not_moving": still, "rows": rows}, 503 if still else 200)

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    def tell_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models")
    def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_card(served) for served in models.values()]}

    @app.get("/v1/models/{name:path}")
    def get_model(name: str) -> dict[str, Any]:
        return _card(_named(models, Body(model=name)))


def _write(app: FastAPI, models: Mapping[str, Served], metrics: Metrics) -> None:
    """What models write."""

    @app.post("/v1/chat/completions")
    async def chat(body: ChatBody, request: Request) -> Response:
        told: Told = request.state.told
        served, ignored = _named(models, body, told), body.unknown()
        async with asyncio.timeout_at(told.ends):
            form, asked = await requests.of_chat(served, body, _salt(request))
        return await _answered(request, metrics, served.writer(), form, body, ignored, asked)

    @app.post("/v1/completions")
    async def complete(body: CompletionBody, request: Request) -> Response:
        told: Told = request.state.told
        served, ignored = _named(models, body, told), body.unknown()
        async with asyncio.timeout_at(told.ends):
            form, asked = await requests.of_completion(served, body, _salt(request))
        return await _answered(request, metrics, served.writer(), form, body, ignored, asked)


def _read(app: FastAPI, models: Mapping[str, Served]) -> None:
    """What models say of whole texts."""

    async def read(body: Body, request: Request, answer: readings.Answer) -> Response:
        told: Told = request.state.told
        served, ignored = _named(models, body, told), body.unknown()
        async with asyncio.timeout_at(told.ends):
            content, told.read = await _unless_left(request, answer(served, body))
        written = await asyncio.to_thread(readings.written, content)
        return Response(written, media_type="application/json", headers=_headers(ignored))

    @app.post("/v1/embeddings")
    async def embeddings(body: EmbeddingBody, request: Request) -> Response:
        return await read(body, request, readings.embeddings)

    @app.post("/v1/fill")
    async def fill(body: FillBody, request: Request) -> Response:
        return await read(body, request, readings.fill)

    @app.post("/v1/classify")
    async def classify(body: ClassifyBody, request: Request) -> Response:
        return await read(body, request, labelling.classified)

    @app.post("/v1/tag")
    async def tag(body: TagBody, request: Request) -> Response:
        return await read(body, request, tagging.tagged)

    @app.post("/v1/moderations")
    async def moderate(body: ModerationBody, request: Request) -> Response:
        if not body.model:
            body.model = labelling.only_moderator(models)
        return await read(body, request, labelling.moderated)


def _named(models: Mapping[str, Served], body: Body, told: Told | None = None) -> Served:
    """The model that a request names, which is noted, and where texts are logged what it asks. Raises ApiError."""
    if body.model not in models:
        raise ApiError(404, f"there is no model {body.model:.100}; served are {', '.join(models)}", "model", "model_not_found")
    if told is not None:
        told.model = body.model
        if told.said is not None:
            own = ASKED & type(body).model_fields.keys()  # a body may have the others too, as keys that nobody knows
            told.said.ask(*body.model_dump(include=own, exclude_none=True).values())
    return models[body.model]


async def _answered(
    request: Request,
    metrics: Metrics,
    engine: EngineThread,
    form: Form,
    body: WritingBody,
    ignored: list[str],
    asked: list[EngineRequest],
) -> Response:
    """The answer, whole or as a stream, whose first token decides whether it is one. Who leaves, cancels it."""
    headers = {**_headers(ignored), "X-Max-Tokens": str(asked[0].max_tokens)}
    if asked[0].beams is None:  # else nothing is drawn
        headers["X-Seed"] = str(asked[0].sampling.seed)
    told: Told = request.state.told
    told.read = form.prompt_tokens
    pieces = metrics.watched(requests.side_by_side(engine, asked, told.ends), told, form)
    if body.stream:
        first = await _unless_left(request, anext(pieces))
        usage = body.stream_options is not None and body.stream_options.include_usage
        stream = form.chunks(_behind(first, pieces), usage)
        return StreamingResponse(stream, media_type="text/event-stream", headers={**headers, "Cache-Control": "no-cache"})
    answer = await _unless_left(request, form.whole(pieces))
    return JSONResponse(answer, headers={**headers, **speed_headers(answer["usage"])})


async def _unless_left(request: Request, wanted: Awaitable[Result]) -> Result:
    """What is wanted; it is cancelled where the client goes before it is there, which ends the request."""
    working, leaving = asyncio.ensure_future(wanted), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(499, "the client has gone", code="client_closed_request")
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.wait([working])  # so that who has gone has nothing more read from the answer's time on


async def _behind(first: Piece, pieces: AsyncGenerator[Piece, None]) -> AsyncIterator[Piece]:
    async with contextlib.aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


async def _left(request: Request) -> None:
    """Returns once the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _card(served: Served) -> dict[str, Any]:
    """What is told of a model; what goes beyond OpenAI's is None where it isn't known, or where there is no limit."""
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "textmill",
        "serves": served.serves,
        "context_length": served.context_length,
        "bytes_per_token": served.bytes_per_token,
        "memory_bytes_per_second": served.memory_bytes_per_second,
    }


def _headers(ignored: list[str]) -> dict[str, str]:
    """What a header can't hold of the names is percent-encoded; the empty name is told as two quotation marks."""
    names = (quote(name[:100], safe="!#$&'*+/?@^_`|~[]{}()<>=:;-.") or '""' for name in ignored[:50])
    return {"X-Ignored-Params": ", ".join(names)} if ignored else {}


def _salt(request: Request) -> str:
    """Who asks: what the engine remembers of one key's prompts, another doesn't find."""
    return caller(request).hex()
