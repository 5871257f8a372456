"""The server's log: JSON on stderr, one line a request. What was asked and what was answered is in none of them, unless whoever
runs the server wants that (`--log-prompts`)."""

import datetime
import json
import logging
import sys
from dataclasses import dataclass, field
from typing import Any

REQUESTS = logging.getLogger("textmill.requests")
MOST_SAID = 2000  # characters that are logged of what was asked, and of each answer


@dataclass
class Said:
    """What was asked and answered, as far as it is logged."""

    prompt: str = ""
    answers: dict[int, str] = field(default_factory=dict)

    def ask(self, asked: Any) -> None:
        """This was asked: a text, or anything else that JSON holds."""
        self.prompt = (asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False))[:MOST_SAID]

    def answer(self, index: int, text: str) -> None:
        """Choice number `index` goes on with this."""
        self.answers[index] = (self.answers.get(index, "") + text)[:MOST_SAID]


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
    said: Said | None = None  # where it is logged


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
    if told.said is not None:
        line |= {"prompt": told.said.prompt, "answers": [text for _, text in sorted(told.said.answers.items())]}
    REQUESTS.info("request", extra={"told": line})
