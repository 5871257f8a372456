"""What a client is told when it can't be served: OpenAI's error body, with all four keys, whatever went wrong."""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from ..errors import GenerationError, TextmillError
from ..inference.engine import EngineFull
from ..inference.engine_thread import EngineStopped

KIND_OF = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
NO_OBJECT = {"dict_type", "model_type", "model_attributes_type"}  # pydantic's errors, which speak of its own classes
LOG = logging.getLogger(__name__)


class ApiError(Exception):
    """A request that is refused. `param` names the field, `code` the reason. `retry_seconds`: after which it may be asked
    again; None: it would be refused again."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None, retry_seconds: float | None = None
    ):
        super().__init__(message)
        self.retry_seconds = retry_seconds
        self.status, self.message, self.param, self.code = status, message, param, code


@contextlib.contextmanager
def naming(field: str) -> Iterator[None]:
    """What can't be served in here is told as an error of this `field`."""
    try:
        yield
    except GenerationError as error:
        raise ApiError(400, f"{field}: {error}", field, "invalid_value") from error


def body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    kind = KIND_OF.get(status, "invalid_request_error" if status < 500 else "server_error")
    said = message.encode("utf-8", "replace").decode()  # it may quote what no UTF-8 text holds
    named = param and param.encode("utf-8", "replace").decode()
    return {"error": {"message": said, "type": kind, "param": named, "code": code}}


def of_exception(error: Exception) -> ApiError:
    """What is said of an error of ours; of any other, that it is one, and no more."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ValidationError):
        return of_invalid(error.errors())
    if isinstance(error, EngineFull):
        return ApiError(429, str(error), code="queue_full", retry_seconds=error.retry_seconds)
    if isinstance(error, EngineStopped):
        return ApiError(503, str(error), code="engine_stopped", retry_seconds=5.0)
    if isinstance(error, TimeoutError):
        return ApiError(504, "the answer took longer than this server allows; ask for fewer tokens", code="deadline_exceeded")
    if isinstance(error, TextmillError):
        return ApiError(400, str(error), code="invalid_value")
    LOG.error("a request ended in an error of ours", exc_info=error)
    return ApiError(500, "the server made a mistake; its log tells more", code="internal_error")


def of_invalid(problems: Sequence[Any]) -> ApiError:
    """What is said of a body that doesn't fit its schema, by pydantic's `problems` with it: of the first that lies deepest,
    since of a field that takes several types each is tried, and the one that was meant fails in its inside."""
    if problems[0]["type"] == "json_invalid":
        why, place = problems[0]["ctx"]["error"], problems[0]["loc"][-1]
        return ApiError(400, f"the body isn't JSON: {why} at character {place}", code="invalid_json")
    where, told = max(((_place(problem["loc"]), problem) for problem in problems), key=lambda pair: len(pair[0]))
    name = ".".join(where)
    found = "" if told["type"] == "missing" else f"; found {told['input']!s:.80}"
    why = "Input should be a JSON object" if told["type"] in NO_OBJECT else told["msg"]
    return ApiError(400, f"{name or 'the body'}: {why}{found}", name or None, "invalid_value")


def _place(of_problem: Sequence[str | int]) -> list[str]:
    """The names and numbers on the way to a problem, without the types that the library tried there."""
    parts = [str(part) for part in of_problem if part not in ("body", "str", "int", "list", "dict")]
    return [part for part in parts if part.isdigit() or (part.isidentifier() and part.islower())]


def response(error: Exception) -> JSONResponse:
    """The answer to a request that ended in an error. A client may ask again only where that can help."""
    told = of_exception(error)
    headers = {"x-should-retry": "false"}
    if told.retry_seconds is not None:
        headers = {"x-should-retry": "true", "retry-after-ms": str(round(1000 * told.retry_seconds))}
    if told.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body(told.status, told.message, told.param, told.code), told.status, headers)


def install(app: FastAPI) -> None:
    """Have every error of the application told in this form."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        return response(error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return response(of_invalid(error.errors()))

    async def of_routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = f"{request.method} {request.url.path}: {error.detail}"
        return response(ApiError(error.status_code, message))

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]] = {
        ApiError: ours,
        TextmillError: ours,
        TimeoutError: ours,
        Exception: ours,
        RequestValidationError: invalid,
        HTTPException: of_routing,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
