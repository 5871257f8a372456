"""A server whose encoder stands still in its first pass: who leaves, who comes too late, who waits too long; and how an answer
is written."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

import textmill
from textmill.serving import app, readings
from textmill.serving.served import Served

MANY = {"model": "encoder", "input": [[5] * 200] * 300}
ONE = {"model": "encoder", "input": "a class"}


class Held:
    """An encoder that waits in each pass until it may go on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.served = Served("encoder", textmill.load(folder), 0, rows=1, queue=1)
        self.inside, self.go_on, self.passes = threading.Event(), threading.Event(), 0
        hidden = self.served.model.hidden

        def waits(*given: Any, **more: Any) -> Any:
            self.passes += 1
            self.inside.set()
            assert self.go_on.wait(60)
            return hidden(*given, **more)

        monkeypatch.setattr(self.served.model, "hidden", waits)

    def app(self, **more: Any) -> Any:
        return app.create_app({"encoder": self.served}, **more)

    async def at_rest(self) -> None:
        """Let it go on, until nobody's request is open."""
        self.go_on.set()
        while self.served.engine.open_answers:
            await asyncio.sleep(0.001)
        assert self.served.engine.rows() == {"all": 1, "free": 1, "open": 0}


@pytest.fixture
def held(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(folders["encoder"], monkeypatch)
    yield held
    held.go_on.set()
    held.served.close()


def test_who_leaves_has_nothing_more_read(held: Held) -> None:
    body, sent = json.dumps(MANY).encode(), list[Message]()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/embeddings", "headers": headers, "query_string": b""}
    coming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if coming:
            return coming.pop()
        await asyncio.to_thread(held.inside.wait, 60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def leave() -> None:
        await held.app()({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}, receive, send)
        await held.at_rest()

    asyncio.run(leave())
    assert sent[0]["status"] == 499 and held.passes == 1


def test_what_takes_too_long_is_ended(held: Held) -> None:
    answer = TestClient(held.app(deadline=0.3), base_url="http://localhost").post("/v1/embeddings", json=MANY)
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline_exceeded"
    asyncio.run(held.at_rest())
    assert held.passes <= 1  # none, where the machine is so busy that it is over before the first begins
    assert TestClient(held.app(), base_url="http://localhost").post("/v1/embeddings", json=ONE).status_code == 200


def test_who_comes_when_all_places_are_taken_is_told_when_to_ask_again(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "STILL_SECONDS", 0.05)
    with TestClient(held.app(), base_url="http://localhost") as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/v1/embeddings", json=ONE)
        assert held.inside.wait(60)
        second = pool.submit(client.post, "/v1/embeddings", json=ONE)
        while held.served.engine.open_answers < 2:
            pass
        refused = client.post("/v1/embeddings", json=ONE)
        assert refused.status_code == 429 and refused.json()["error"]["code"] == "queue_full"
        assert int(refused.headers["retry-after-ms"]) > 0
        while (health := client.get("/health")).status_code == 200:
            pass
        assert health.json()["not_moving"] == ["encoder"] and health.json()["rows"]["encoder"]["free"] == 0
        told = client.get("/metrics").text
        assert 'textmill_open_answers{model="encoder"} 2.0' in told and 'textmill_rows_in_use{model="encoder"} 1.0' in told
        held.go_on.set()
        assert first.result().status_code == second.result().status_code == 200
        while 'textmill_open_answers{model="encoder"} 0.0' not in (told := client.get("/metrics").text):
            pass  # an answer is there a moment before the engine has put it away
        tokens = 2 * first.result().json()["usage"]["prompt_tokens"]
        assert f'textmill_tokens_total{{kind="read",model="encoder"}} {tokens}.0' in told


@pytest.mark.parametrize("data", [[], [{"embedding": [0.1, -1e-9, None]}, {}], ['a "é"', 7, [[], {"b": True}]]])
def test_an_answer_in_parts_is_the_same_json(data: list[Any]) -> None:
    content = {"object": "list", 'mo"del': None, "data": data, "usage": {"total_tokens": 3}}
    assert readings.written(content) == json.dumps(content, ensure_ascii=False, separators=(",", ":"))
