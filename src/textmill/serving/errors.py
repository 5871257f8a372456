"""What a client is told when it can't be served: OpenAI's error body, with all four keys, whatever went wrong."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import TextmillError
from ..inference.engine import EngineFull

KIND_OF = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
RETRY_MILLISECONDS = 1000  # after which a client that found the queue full may ask again


class ApiError(Exception):
    """A request that is refused. `param` names the field, `code` the reason."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


def body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    kind = KIND_OF.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def of_exception(error: Exception) -> ApiError:
    """What is said of an error of ours; of any other, that it is one, and no more."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EngineFull):
        return ApiError(429, str(error), code="queue_full")
    if isinstance(error, TextmillError):
        return ApiError(400, str(error), code="invalid_value")
    return ApiError(500, "the server made a mistake; its log tells more", code="internal_error")


def response(error: Exception) -> JSONResponse:
    """The answer to a request that ended in an error. A client may ask again only where that can help."""
    told = of_exception(error)
    headers = {"x-should-retry": "true" if told.status in (429, 503) else "false"}
    if told.status == 429:
        headers["retry-after-ms"] = str(RETRY_MILLISECONDS)
    if told.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body(told.status, told.message, told.param, told.code), told.status, headers)


def install(app: FastAPI) -> None:
    """Have every error of the application told in this form."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        return response(error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        found = "" if first["type"] in ("missing", "json_invalid") else f"; found {first['input']!s:.80}"
        return response(ApiError(400, f"{where or 'the body'}: {first['msg']}{found}", where or None, "invalid_value"))

    async def of_routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = f"{request.method} {request.url.path}: {error.detail}"
        return response(ApiError(error.status_code, message))

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]] = {
        ApiError: ours,
        TextmillError: ours,
        Exception: ours,
        RequestValidationError: invalid,
        HTTPException: of_routing,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
