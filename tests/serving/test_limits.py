"""What one key, one answer and one slow reader may have of a server."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

import textmill

KEYS = ("a-key-of-the-first-user", "another-key-of-a-second")


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text("\n".join(KEYS), encoding="utf-8")
    return path


def asking(address: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


@pytest.mark.parametrize("most", [("--requests-per-minute", 3), ("--tokens-per-minute", 10)])
def test_a_key_has_its_limit_and_another_key_its_own(serve, folders: dict[str, Path], keys: Path, most: tuple) -> None:
    asked: Any = {"model": "base", "prompt": "The", "max_tokens": 3}
    with serve(folders["base"], "--api-keys", keys, *most) as address:
        began = time.monotonic()
        with pytest.raises(openai.RateLimitError, match=f"there are {most[1]} .* a minute for a key") as caught:
            for _ in range(5):
                asking(address, KEYS[0]).completions.create(**asked)
        assert caught.value.code == "rate_limit_exceeded" and caught.value.response.headers["x-should-retry"] == "true"
        left = int(caught.value.response.headers["retry-after-ms"]) / 1000
        assert 60 - (time.monotonic() - began) - 1 <= left <= 60
        assert asking(address, KEYS[1]).completions.create(**asked).choices
        assert requests.get(f"{address}/health").status_code == 200


@pytest.fixture(scope="module")
def hurried(serve, folders: dict[str, Path]) -> Iterator[str]:
    """A server that gives an answer one second."""
    with serve(folders["lstm"], "--rows", 1, "--deadline", 1) as address:
        yield address


@pytest.fixture
def endless(folders: dict[str, Path]) -> dict[str, Any]:
    """A request whose answer is one letter, again and again."""
    letter = textmill.load(folders["lstm"]).tokenizer.encode("x")[0]
    return {"model": "lstm", "prompt": "The", "max_tokens": 900_000, "logit_bias": {str(letter): 100}}


def test_an_answer_ends_at_its_deadline(hurried: str, endless: dict[str, Any]) -> None:
    client = asking(hurried, "any")
    with pytest.raises(openai.InternalServerError, match="longer than this server allows") as caught:
        client.completions.create(**endless)
    assert caught.value.status_code == 504 and caught.value.code == "deadline_exceeded"
    assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.APIError, match="longer than this server allows"):
        for chunk in client.completions.create(**endless, stream=True):
            assert chunk.choices
    assert client.completions.create(model="lstm", prompt="The", max_tokens=3).choices  # the only row is free again


def gauge(address: str, name: str) -> float:
    """One figure of a server's metrics, of its only model."""
    families = text_string_to_metric_families(requests.get(f"{address}/metrics").text)
    return next(sample.value for family in families for sample in family.samples if sample.name == name)


def test_who_doesnt_read_is_cut(serve, folders: dict[str, Path], endless: dict[str, Any]) -> None:
    """His row is free while he still holds the line."""
    with serve(folders["lstm"], "--rows", 1, "--patience", 0.5) as address:
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps({**endless, "stream": True, "logprobs": 5}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host, int(port)))
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert connection.recv(12) == b"HTTP/1.1 200"
            until = time.monotonic() + 60
            while gauge(address, "textmill_rows_in_use") and time.monotonic() < until:
                time.sleep(0.1)
            assert gauge(address, "textmill_open_answers") == 0
