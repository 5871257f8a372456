"""Requests made up from the server's own description of its API, right ones and wrong ones: none brings it out of step."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

FOUR_KEYS = {"message", "type", "param", "code"}
OPERATIONS = [
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{name}"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/fill"),
    ("POST", "/v1/classify"),
    ("POST", "/v1/tag"),
    ("POST", "/v1/moderations"),
]
MODEL_OF = {
    "/v1/chat/completions": "caller",
    "/v1/completions": "base",
    "/v1/embeddings": "encoder",
    "/v1/fill": "encoder",
    "/v1/classify": "sorter",
    "/v1/tag": "tagger",
    "/v1/moderations": "moderator",
}
SECONDS = 30  # after which a request hangs


def reaching_further(body: Any, path: str) -> Any:
    """The body with a model that is there and few tokens, where it names any model: what lies behind is to be met too."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and path in MODEL_OF:
        short = {} if not path.endswith("completions") or "max_tokens" in body else {"max_tokens": 2}
        return {**body, "model": MODEL_OF[path], **short}
    return body


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        pytest.param(method, path, mode, id=f"{path}-{mode.value}")
        for method, path in OPERATIONS
        for mode in GenerationMode
        if (method, mode) != ("GET", GenerationMode.NEGATIVE)  # nothing can be wrong in it
    ],
)
def test_made_up_requests_are_answered_or_refused(address: str, method: str, path: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    name = next(name for name in schema if name.startswith(path.split("{")[0]) and name.count("{") == path.count("{"))
    operation = schema[name][method]

    @seed(5)
    @settings(max_examples=25, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: schemathesis.Case) -> None:
        case.body = reaching_further(case.body, path)
        try:
            answer = case.call(timeout=SECONDS)
        except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
            return  # no client can send it
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.json()["error"].keys() == FOUR_KEYS

    asked()
    assert requests.get(f"{address}/health", timeout=SECONDS).status_code == 200


def test_made_up_functions_are_called_or_refused(address: str) -> None:
    """Few of the requests above hold tools; these all do, and room for calls."""
    described = requests.get(f"{address}/openapi.json", timeout=SECONDS).json()
    tool = {"$ref": "#/components/schemas/Tool"}
    described["components"]["schemas"]["ChatBody"] |= {
        "properties": {
            "tools": {"type": "array", "items": tool, "minItems": 1, "maxItems": 3},
            "tool_choice": described["components"]["schemas"]["ChatBody"]["properties"]["tool_choice"],
            "seed": {"type": "integer", "minimum": 0, "maximum": 9},
        },
        "required": ["tools"],
        "additionalProperties": False,
    }
    operation = schemathesis.openapi.from_dict(described)["/v1/chat/completions"]["POST"]
    found = set()

    @seed(5)
    @settings(max_examples=30, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def asked(case: schemathesis.Case) -> None:
        messages = [{"role": "user", "content": "a"}]
        body = {"model": "caller", "messages": messages, "max_tokens": 60, **case.body}
        answer = requests.post(f"{address}/v1/chat/completions", json=body, timeout=SECONDS)
        assert answer.status_code in (200, 400), answer.text
        found.add(answer.status_code if answer.status_code != 200 else answer.json()["choices"][0]["finish_reason"])

    asked()
    assert found >= {400, "tool_calls"}
    assert requests.get(f"{address}/health", timeout=SECONDS).status_code == 200
