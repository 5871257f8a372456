"""The server's log: a line a request, and nothing of what was said, unless that is wanted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from textmill.serving.log import MOST_SAID, Said

KEY = "a-key-of-the-first-user"
COMPLETION = {"model": "base", "prompt": "SECRET", "max_tokens": 4}
CHAT = {"model": "talker", "messages": [{"role": "user", "content": "SECRET " + "so " * 1000}], "max_tokens": 100, "n": 2}
SEVERAL = {**COMPLETION, "prompt": [[5, 6], [7]]}
EMBEDDING = {"model": "encoder", "input": ["SECRET", "other"]}


@pytest.fixture
def logged(starter: Any, folders: dict[str, Path], tmp_path: Path) -> Callable[..., tuple[list[requests.Response], str]]:
    """Starts a server with a key; gives its answers, and all that it said meanwhile."""

    def run(*flags: str) -> tuple[list[requests.Response], str]:
        (tmp_path / "keys").write_text(KEY)
        names = [folders[name] for name in ("base", "talker", "encoder")]
        server = starter.leave(tmp_path, "serve", *names, "--port", 0, "--api-keys", tmp_path / "keys", *flags)
        address = server.first_line().split(" at ")[1].split(",")[0]
        known = {"Authorization": f"Bearer {KEY}"}
        asked: list[tuple[str, dict[str, Any], dict[str, str]]] = [
            ("completions", COMPLETION, known),
            ("completions", {**COMPLETION, "stream": True}, known),
            ("completions", {**COMPLETION, "seed": "SECRET"}, known),
            ("completions", COMPLETION, {}),
            ("completions", SEVERAL, known),
            ("chat/completions", {**CHAT, "messages": [{"role": "user", "content": "SECRET"}], "input": "SECRET"}, known),
            ("chat/completions", CHAT, known),
            ("embeddings", EMBEDDING, known),
        ]
        try:
            answers = [requests.post(f"{address}/{path}", json=body, headers=headers) for path, body, headers in asked]
            answers += [requests.get(f"{address[:-3]}/metrics", headers=headers) for headers in ({}, known)]
        finally:
            server.end()
        return answers, server.errors.read_text(encoding="utf-8")

    return run


def test_one_line_a_request_and_nothing_of_what_was_said(logged: Callable) -> None:
    answers, said = logged()
    lines = [line for line in map(json.loads, said.splitlines()) if line["message"] == "request"]
    assert [line["status"] for line in lines] == [answer.status_code for answer in answers]
    assert [line["status"] for line in lines] == [200, 200, 400, 401, 200, 200, 400, 200, 401, 200]
    assert [line["id"] for line in lines] == [answer.headers["x-request-id"] for answer in answers]
    assert len({line["id"] for line in lines}) == 10
    assert "SECRET" not in said and KEY not in said
    for answer in (answers[0], answers[5]):
        for choice in answer.json()["choices"]:
            text = choice["text"] if "text" in choice else choice["message"]["content"]
            assert len(text) > 1 and json.dumps(text)[1:-1] not in said
    assert lines[0]["model"] == "base" and lines[0]["path"] == "/v1/completions" and lines[0]["seconds"] > 0
    usage = answers[0].json()["usage"]
    assert lines[0]["tokens"] == {"read": usage["prompt_tokens"], "cached": 0, "written": usage["completion_tokens"]}
    assert lines[0]["key"] == lines[1]["key"] and len(lines[0]["key"]) == 8 and lines[3]["key"] is None


def test_what_was_said_is_logged_where_it_is_wanted(logged: Callable) -> None:
    answers, said = logged("--log-prompts")
    lines = [line for line in map(json.loads, said.splitlines()) if line["message"] == "request"]
    whole = answers[0].json()["choices"][0]["text"]
    assert lines[0]["prompt"] == "SECRET" and lines[0]["answers"] == [whole]
    streamed = [json.loads(event[6:]) for event in answers[1].text.split("\n\n") if event.startswith("data: {")]
    assert lines[1]["answers"] == ["".join(chunk["choices"][0]["text"] for chunk in streamed)]
    assert json.loads(lines[4]["prompt"]) == SEVERAL["prompt"]
    assert lines[4]["answers"] == [choice["text"] for choice in answers[4].json()["choices"]]
    assert json.loads(lines[5]["prompt"]) == [{"role": "user", "content": "SECRET"}]
    assert lines[5]["answers"] == [choice["message"]["content"] for choice in answers[5].json()["choices"]]
    assert lines[6]["prompt"].startswith('[{"role": "user", "content": "SECRET so so') and len(lines[6]["prompt"]) == 2000
    assert json.loads(lines[7]["prompt"]) == EMBEDDING["input"] and lines[7]["answers"] == []
    assert not lines[3]["prompt"] and KEY not in said  # who has no key isn't listened to


def test_an_answer_is_logged_up_to_a_length() -> None:
    said = Said()
    for _ in range(MOST_SAID):
        said.answer(1, "ab")
    assert said.answers == {1: "ab" * (MOST_SAID // 2)}
