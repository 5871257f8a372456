"""Who is let in, and with how much: keys, the address that was asked for, the page that asks, the size of what is sent.

On one's own machine no key is needed, so a page of the web that the browser shows must not be able to ask: neither from its own
origin, nor by a name of its own that it lets point to this machine (DNS rebinding).
"""

import hashlib
import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from . import errors
from .errors import ApiError
from .limits import Limits

MOST_BYTES = 2_000_000  # of a request's body
MOST_THROWN_AWAY = 50_000_000  # of a body that is larger
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Guard:
    """Lets through to `app` what may be asked. With `key_hashes` (SHA-256) a request needs such a key, but for `open_paths`;
    to ask the API, it needs room in its key's limits."""

    def __init__(self, app: ASGIApp, key_hashes: Collection[bytes], open_paths: Collection[str], limits: Limits):
        self.app, self.key_hashes, self.open_paths, self.limits = app, key_hashes, open_paths, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            try:
                self._check_origin(request)
                if request.url.path not in self.open_paths:
                    self._check_key(request)
                if request.url.path.startswith("/v1/"):
                    self.limits.let_in(request.state.told.who)
                await _check_size(request)
                _check_type(request)
            except ApiError as error:
                await errors.response(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check_origin(self, request: Request) -> None:
        """Raise ApiError where a page of another origin asks, or where this machine goes by a name that isn't its own."""
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            raise ApiError(
                403, f"pages of {origin:.200} can't ask here; only this server's own page can", code="origin_refused"
            )
        if not self.key_hashes and _hostname(host) not in LOOPBACK:
            message = f"without keys this server answers to its own machine's names only, not to {host:.200}"
            raise ApiError(403, message, code="host_refused")

    def _check_key(self, request: Request) -> None:
        """Raise ApiError where a key is needed and none that is known is given. Every key is compared, in constant time."""
        given = caller(request)
        if self.key_hashes and not sum(hmac.compare_digest(given, known) for known in self.key_hashes):
            needed = "this key isn't one that is let in" if "authorization" in request.headers else "a key is needed"
            raise ApiError(401, f"{needed}; send Authorization: Bearer KEY", code="invalid_api_key")
        if self.key_hashes:
            request.state.told.who = given.hex()


def caller(request: Request) -> bytes:
    """Who asks: the SHA-256 of the key that was given."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return hashlib.sha256(key.encode() if scheme.lower() == "bearer" else b"").digest()


def _hostname(host: str) -> str | None:
    """The name in a Host header, without its port; None where there is none in it."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # a broken IPv6 address
        return None


def _check_type(request: Request) -> None:
    """Raise ApiError for a body that isn't said to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind != "application/json":
        said = kind or "nothing said of it"
        raise ApiError(415, f"a body needs the header Content-Type: application/json; found {said:.100}", code="not_json")


async def _check_size(request: Request) -> None:
    """Raise ApiError for a body that is too large, without keeping more than may be."""
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
