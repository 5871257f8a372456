"""How tests ask a server."""

import json
import urllib.request
from typing import Any

ASKED: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What does a class statement do?"}]


def streamed(chunks) -> tuple[str, str | None, Any]:
    """The text of a stream, why it ended, and its usage."""
    text, reason, usage = "", None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += (choice.text if hasattr(choice, "text") else choice.delta.content) or ""
            reason = choice.finish_reason or reason
    return text, reason, usage


def sent(address: str, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """Status and JSON of a POST of any bytes."""
    request = urllib.request.Request(address + path, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
