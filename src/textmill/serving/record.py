"""Around every request: it gets an id, its line in the log, its place in the counters."""

import asyncio
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import errors, log
from .limits import Limits
from .log import Said, Told
from .metrics import Metrics

LEFT = 499  # the status of a request whose client went before it was answered


class Record:
    """The outermost layer of the application. `deadline`: seconds that a request may take. `log_prompts`: what is asked and
    answered stands in its line too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, limits: Limits, deadline: float | None, log_prompts: bool):
        self.app, self.metrics, self.limits = app, metrics, limits
        self.deadline, self.log_prompts = deadline, log_prompts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        now, status = asyncio.get_running_loop().time, LEFT
        told = Told(f"req-{secrets.token_hex(12)}", now(), said=Said() if self.log_prompts else None)
        told.ends = None if self.deadline is None else told.began + self.deadline
        scope.setdefault("state", {})["told"] = told

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = told.id
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception as error:
            if status == LEFT:
                await errors.response(error)(scope, receive, sent)
            else:
                raise
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.count(route, status, told)
            self.limits.charge(told.who, told.read + told.cached + told.written)
            log.request(told, scope["method"], scope["path"], status, now() - told.began)
