"""What one key, one answer and one slow reader may have of a server."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

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


def test_an_answer_ends_at_its_deadline(hurried: str, endless: dict[str, Any]) -> None:
    client = asking(hurried, "any")
    with pytest.raises(openai.InternalServerError, match="longer than this server allows") as caught:
        client.with_options(max_retries=3).completions.create(**endless)
    assert requests_ended(hurried, 504) == 1  # it isn't tried again
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


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20  # less than the 30 seconds of patience that a server has by default
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def requests_ended(address: str, status: int) -> float:
    """How many a server has answered so."""
    families = text_string_to_metric_families(requests.get(f"{address}/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == "textmill_requests_total"]
    return sum(sample.value for sample in samples if sample.labels["status"] == str(status))


@contextlib.contextmanager
def deaf(address: str, path: str, body: dict[str, Any]) -> Iterator[int]:
    """A client that asks, hears that it is answered, reads no further, and holds the line; its port."""
    host, port = address.removeprefix("http://").split(":")
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        assert connection.recv(12) == b"HTTP/1.1 200"
        yield connection.getsockname()[1]


def clients(address: str) -> set[int]:
    """The ports of those whose sockets a server holds."""
    port = int(address.rpartition(":")[2])
    lines = [line for child in psutil.Process().children(recursive=True) for line in child.net_connections("tcp")]
    return {line.raddr.port for line in lines if line.laddr.port == port and line.raddr}


@pytest.fixture(scope="module")
def impatient(serve, folders: dict[str, Path]) -> Iterator[str]:
    with serve(folders["lstm"], folders["encoder"], "--rows", 2, "--patience", 0.5) as address:
        yield address


@pytest.mark.parametrize("whole", [False, True])
def test_who_doesnt_read_is_cut(impatient: str, endless: dict[str, Any], whole: bool) -> None:
    """His row and his socket are free while he still holds the line; who reads beside him is answered on."""
    reading = asking(impatient, "any").completions.create(**endless, stream=True)
    next(iter(reading))
    stream = "/v1/completions", {**endless, "stream": True, "logprobs": 5}
    with deaf(impatient, *(("/v1/embeddings", {"model": "encoder", "input": ["a"] * 1000}) if whole else stream)) as port:
        wait_until(lambda: port not in clients(impatient))
        wait_until(lambda: gauge(impatient, "textmill_open_answers") == 1)
        assert clients(impatient) and [next(iter(reading)).choices for _ in range(3)]
    reading.close()


def test_a_deadline_holds_for_who_doesnt_read_too(hurried: str, endless: dict[str, Any]) -> None:
    with deaf(hurried, "/v1/completions", {**endless, "stream": True, "logprobs": 5}):
        wait_until(lambda: gauge(hurried, "textmill_open_answers") == 0)
