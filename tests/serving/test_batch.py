"""A file of requests is answered as the server would answer them, and no kill loses an answer or asks twice."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests


@pytest.fixture
def run(starter: Any, tmp_path: Path) -> Callable[..., Any]:
    """`run(WORDS…)`: `textmill batch WORDS…`, to its end."""
    return lambda *words: starter(tmp_path, "batch", *words)


def line(custom_id: str, url: str, **body: Any) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}) + "\n"


def completion(custom_id: str, **body: Any) -> str:
    return line(custom_id, "/v1/completions", **{"model": "base", "prompt": "The", "max_tokens": 20, "seed": 3, **body})


def answers(path: Path) -> dict[str, dict]:
    found = [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]
    assert len({one["custom_id"] for one in found}) == len(found)
    return {one["custom_id"]: one["response"] for one in found}


def said(path: Path) -> dict[str, list]:
    return {name: response["body"]["choices"] for name, response in answers(path).items()}


def test_a_batch_gets_what_the_server_answers_and_a_bad_request_hinders_no_other(
    run, folders, address: str, tmp_path: Path
) -> None:
    asked = tmp_path / "in.jsonl"
    messages = [{"role": "user", "content": "Hello"}]
    chat = {"model": "caller", "messages": messages, "max_tokens": 12, "seed": 5, "n": 2}
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    calls = {**chat, "max_tokens": 60, "tools": tools, "tool_choice": "required"}
    asked.write_text(
        line("chat", "/v1/chat/completions", **chat)
        + line("calls", "/v1/chat/completions", **calls)
        + line("hot", "/v1/chat/completions", **{**chat, "temperature": 9})
        + line("other", "/v1/chat/completions", **{**chat, "model": "gpt"})
        + line("streamed", "/v1/chat/completions", **{**chat, "stream": True})
        + line("unknown", "/v1/chat/completions", **{**chat, "colour": 1})
        + line("nowhere", "/v1/images", model="caller")
        + json.dumps({"custom_id": "bodiless", "method": "POST", "url": "/v1/completions"})
    )
    ended = run(folders["caller"], asked, tmp_path / "out.jsonl")
    assert ended.returncode == 0, ended.stderr
    found = answers(tmp_path / "out.jsonl")
    served, called = (requests.post(f"{address}/v1/chat/completions", json=one, timeout=60).json() for one in (chat, calls))
    assert found["chat"]["body"]["choices"] == served["choices"]
    assert found["chat"]["body"]["usage"]["completion_tokens"] == served["usage"]["completion_tokens"]
    for one, other in zip(found["calls"]["body"]["choices"], called["choices"], strict=True):
        assert one["finish_reason"] == other["finish_reason"] == "tool_calls"
        pairs = zip(one["message"]["tool_calls"], other["message"]["tool_calls"], strict=True)
        assert all(made["function"] == same["function"] for made, same in pairs)
    refused = {name: one["status_code"] for name, one in found.items() if one["status_code"] != 200}
    assert refused == {"hot": 400, "other": 404, "streamed": 400, "unknown": 400, "nowhere": 404, "bodiless": 400}
    assert found["hot"]["body"]["error"]["param"] == "temperature"
    assert found["unknown"]["body"]["error"]["param"] == "colour"


def test_an_encoder_gives_vectors_and_masked_words(run, folders, address: str, tmp_path: Path) -> None:
    asked: dict[str, dict[str, Any]] = {
        "embeddings": {"model": "encoder", "input": ["one text", "another"]},
        "fill": {"model": "encoder", "input": "one <|mask|>"},
    }
    (tmp_path / "in.jsonl").write_text("".join(line(name, f"/v1/{name}", **body) for name, body in asked.items()))
    assert run(folders["encoder"], tmp_path / "in.jsonl", tmp_path / "out.jsonl").returncode == 0
    found = answers(tmp_path / "out.jsonl")
    for name, body in asked.items():
        served = requests.post(f"{address}/v1/{name}", json=body, timeout=60).json()
        ours, theirs = (flat(content["data"]) for content in (found[name]["body"], served))
        assert ours == pytest.approx(theirs, abs=1e-5) and len(ours) > 1


def flat(content: Any) -> list[float]:
    """The numbers in a JSON value, in their order."""
    if isinstance(content, dict | list):
        return [number for inner in (content.values() if isinstance(content, dict) else content) for number in flat(inner)]
    return [float(content)] if isinstance(content, int | float) else []


def test_a_killed_batch_goes_on_and_ends_with_the_same_answers(run, starter, folders, tmp_path: Path) -> None:
    asked, whole, killed = tmp_path / "in.jsonl", tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    # Greedy: of drawn tokens one in some ten thousand lies so near a border that what else is in the batch decides it.
    asked.write_text("".join(completion(f"r{n}", prompt=f"request {n}", temperature=0, max_tokens=50) for n in range(60)))
    assert run(folders["base"], asked, whole, "--rows", 2).returncode == 0
    process = starter.leave(tmp_path, "batch", folders["base"], asked, killed, "--rows", 2)
    while not killed.exists() or killed.read_bytes().count(b"\n") < 3:
        time.sleep(0.005)
    process.end(signal.SIGKILL)
    there = killed.read_bytes()
    assert 3 <= there.count(b"\n") < 60
    before = there[: there.rindex(b"\n") + 1]
    killed.write_bytes(before + b'{"id": "batch_req_0123", "custom_id": "r5')  # as if killed while it wrote
    assert run(folders["base"], asked, killed, "--rows", 2).returncode == 0
    assert killed.read_bytes().startswith(before)
    assert said(killed) == said(whole)


def test_broken_lines_are_told_all_together_before_anything_runs(run, folders, tmp_path: Path) -> None:
    asked, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked.write_text(
        completion("a") + "{broken\n" + completion("a") + f'["{"中" * 40}"]\n' + json.dumps({"url": "/v1/completions"})
    )
    ended = run(folders["base"], asked, out)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    for words in ("line 2", "line 3: custom_id a is that of line 1 too", "line 4: write an object", "line 5"):
        assert words in ended.stderr
    assert not out.exists()


def test_an_out_file_of_other_requests_is_refused_and_stays_as_it_is(run, folders, tmp_path: Path) -> None:
    asked, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked.write_text(completion("a", max_tokens=2))
    assert run(folders["base"], asked, out).returncode == 0
    asked.write_text(completion("a", max_tokens=3))  # the same custom_id, another request
    before = out.read_bytes()
    ended = run(folders["base"], asked, out)
    assert ended.returncode == 2 and "line 1" in ended.stderr
    out_of_notes = tmp_path / "notes.txt"
    out_of_notes.write_bytes(b"not ours, and without an end of line")
    assert run(folders["base"], asked, out_of_notes).returncode == 2
    assert run(folders["base"], asked, asked).returncode == 2
    assert out.read_bytes() == before and out_of_notes.read_bytes() == b"not ours, and without an end of line"
