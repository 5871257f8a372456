"""A server as a whole: what it says it serves and how it is, who is let in, who leaves, how it starts and ends."""

import json
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import openai
import pytest

from .clients import ASKED, sent, streamed

SERVED = {"talker", "caller", "base", "lstm", "encoder", "moderator", "sorter", "tagger"}


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == SERVED
    assert client.models.retrieve("lstm").object == "model"
    talker, lstm, encoder = (client.models.retrieve(name).model_dump() for name in ("talker", "lstm", "encoder"))
    assert talker["context_length"] == 256 and lstm["context_length"] is None
    assert talker["bytes_per_token"] > 0 and lstm["bytes_per_token"] > 0 and encoder["bytes_per_token"] is None
    assert talker["serves"] == ["/v1/chat/completions", "/v1/completions"] and encoder["serves"] == [
        "/v1/embeddings",
        "/v1/fill",
    ]
    assert talker["memory_bytes_per_second"] is None  # until doctor has measured it
    with pytest.raises(openai.NotFoundError, match="there is no model other; served are"):
        client.models.retrieve("other")


def test_who_leaves_while_he_waits_for_a_whole_answer_frees_his_row(client: openai.OpenAI, address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    body = json.dumps({"model": "lstm", "prompt": "The", "max_tokens": 900_000, "temperature": 1.0}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    for _ in range(4):  # one more than there are rows
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.2)
    assert client.completions.create(model="lstm", prompt="The", max_tokens=3).choices


def test_health_and_ready_need_no_key(address: str) -> None:
    for path in ("/health", "/ready"):
        with urllib.request.urlopen(address + path) as answer:
            assert json.load(answer)["status"] == "ok"


def test_health_tells_each_engines_rows(address: str) -> None:
    with urllib.request.urlopen(address + "/health") as answer:
        rows = json.load(answer)["rows"]
    assert set(rows) == SERVED
    assert all(each["all"] == 3 and 0 <= each["free"] <= 3 and each["open"] >= 0 for each in rows.values())


def test_who_leaves_frees_his_row(client: openai.OpenAI, address: str) -> None:
    """Three rows, and twelve clients that leave answers of ten thousand tokens: the next is answered all the same."""
    asked: Any = {"model": "lstm", "prompt": "The", "max_tokens": 10_000, "temperature": 1.0}
    for _ in range(12):
        stream = client.completions.create(**asked, stream=True)
        next(iter(stream))
        stream.close()
    assert client.completions.create(model="lstm", prompt="The", max_tokens=3).choices


def test_keys(serve, folders: dict[str, Path], tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("a-key-of-the-first-user\n\nanother-key-of-a-second\n", encoding="utf-8")
    with serve(folders["base"], "--api-keys", keys) as address:
        for key in ("a-key-of-the-first-user", "another-key-of-a-second"):
            client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
            assert client.completions.create(model="base", prompt="a", max_tokens=2).choices
        for key in ("a-key-of-the-first-use", "wrong", "Bearer a-key-of-the-first-user"):
            with pytest.raises(openai.AuthenticationError, match="isn't one that is let in"):
                openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0).models.list()
        status, answer = sent(address, "/v1/completions", b"{}")
        assert status == 401 and "a key is needed" in answer["error"]["message"]
        with urllib.request.urlopen(address + "/health") as answer:
            assert answer.status == 200


def test_a_draft_model_changes_no_answer(serve, folders: dict[str, Path], client: openai.OpenAI) -> None:
    asked: Any = {"model": "talker", "messages": ASKED, "max_tokens": 40, "temperature": 0}
    expected = client.chat.completions.create(**asked).choices[0].message.content
    with serve(folders["talker"], "--draft", folders["talker"]) as address:
        guessed = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0).chat.completions.create(**asked)
        assert guessed.choices[0].message.content == expected
        assert guessed.usage and guessed.usage.completion_tokens_details


def test_what_cant_start_says_why(starter: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    def refused(*words: object) -> str:
        ended = starter(tmp_path, "serve", *words)
        assert ended.returncode == 2 and "Traceback" not in ended.stderr, ended.stderr
        return ended.stderr

    (tmp_path / "short").write_text("abc\n")
    (tmp_path / "none").write_text("\n")
    assert "give --api-keys FILE" in refused(folders["base"], "--host", "0.0.0.0")
    assert "fewer than 16 characters" in refused(folders["base"], "--api-keys", tmp_path / "short")
    assert "no keys" in refused(folders["base"], "--api-keys", tmp_path / "none")
    assert "can't read the keys" in refused(folders["base"], "--api-keys", tmp_path / "missing")
    assert "give a decoder" in refused(folders["base"], "--draft", folders["lstm"], "--port", 0)
    assert "none of these models writes" in refused(folders["encoder"], "--draft", folders["base"], "--port", 0)
    assert "two models are called base" in refused(folders["base"], folders["base"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "give another --port" in refused(folders["base"], "--port", taken.getsockname()[1])


def test_an_answer_that_is_being_written_is_finished_after_sigterm(starter: Any, folders: dict[str, Path]) -> None:
    server = starter.leave(folders["lstm"], "serve", ".", "--port", 0)  # called by its folder's name all the same
    address = server.first_line().split(" at ")[1].split(",")[0]
    client = openai.OpenAI(base_url=address, api_key="any", max_retries=0)
    stream = client.completions.create(model="lstm", prompt="The", max_tokens=3000, temperature=1.0, stream=True)
    next(iter(stream))
    os.kill(server.pid, signal.SIGTERM)
    assert streamed(stream)[1] in ("stop", "length")
    assert server.wait() in (0, -signal.SIGTERM)
