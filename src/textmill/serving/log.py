"""The server's log: JSON on stderr, one line a request. What was asked and what was answered is in none of them."""

import datetime
import json
import logging
import sys
from dataclasses import dataclass
from typing import Any

REQUESTS = logging.getLogger("textmill.requests")


@dataclass
class Told:
    """What becomes known of a request while it is answered. Times are the event loop's, in seconds; `ends`: its deadline;
    `who`: the SHA-256 of its key, where keys are needed;
    `read`, `cached`, `written`: tokens."""

    id: str
    began: float
    ends: float | None = None
    who: str = ""
    model: str | None = None
    read: int = 0
    cached: int = 0
    written: int = 0
    cut: bool = False  # since its client didn't read


class JsonLines(logging.Formatter):
    """A record as one line of JSON: its time, level, words, and what it was given as `extra={"told": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "told", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def install() -> None:
    """Have all that is logged in this process written so."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    REQUESTS.setLevel(logging.INFO)


def request(told: Told, method: str, path: str, status: int, seconds: float) -> None:
    """One line of one request."""
    tokens = {"read": told.read, "cached": told.cached, "written": told.written}
    line: dict[str, Any] = {"id": told.id, "method": method, "path": path[:200], "status": status, "seconds": round(seconds, 4)}
    line |= {"model": told.model, "key": told.who[:8] or None, "tokens": tokens} | ({"cut": True} if told.cut else {})
    REQUESTS.info("request", extra={"told": line})
