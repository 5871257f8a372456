"""What a server tells of itself: its counters, and whether it moves."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

import textmill
from textmill.inference.engine import Engine
from textmill.inference.engine_thread import EngineThread, TooSlow
from textmill.inference.request import Request
from textmill.serving import app
from textmill.serving.loading import loading
from textmill.serving.served import Served
from textmill.serving.server import listen


def figures(address: str, **headers: str) -> dict[tuple, float]:
    """What /metrics says: the value of each name with its labels."""
    answer = requests.get(f"{address}/metrics", headers=headers)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    families = list(text_string_to_metric_families(answer.text))
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def ask(address: str, **more: Any) -> requests.Response:
    return requests.post(f"{address}/v1/completions", json={"model": "base", "prompt": "A " * 50, "max_tokens": 4, **more})


def test_metrics_count_what_was_done(serve, folders: dict[str, Path]) -> None:
    with serve(folders["base"]) as address:
        usages = [ask(address).json()["usage"] for _ in range(2)]
        assert "[DONE]" in ask(address, stream=True).text
        assert ask(address, max_tokens=0).status_code == 400
        requests.get(f"{address}/made-up")
        told = figures(address)
    assert told["textmill_requests_total", "/v1/completions", "200"] == 3
    assert told["textmill_requests_total", "/v1/completions", "400"] == 1
    assert told["textmill_requests_total", "404", "other"] == 1
    prompt, cached = usages[0]["prompt_tokens"], usages[1]["prompt_tokens_details"]["cached_tokens"]
    assert cached > 0 and usages[0]["prompt_tokens_details"]["cached_tokens"] == 0
    assert told["textmill_tokens_total", "base", "cached"] == 2 * cached
    assert told["textmill_tokens_total", "base", "read"] == 3 * prompt - 2 * cached
    assert told["textmill_tokens_total", "base", "written"] >= sum(usage["completion_tokens"] for usage in usages)
    assert told["textmill_time_to_first_token_seconds_count", "base"] == 3
    assert told["textmill_time_between_tokens_seconds_count", "base"] > 0
    assert told["textmill_prefix_cache_bytes", "base"] > 0
    for name in ("open_answers", "waiting_answers", "rows_in_use"):
        assert told[f"textmill_{name}", "base"] == 0


@pytest.fixture
def held(folders: dict[str, Path], monkeypatch):
    """A model that stands still in its next pass until the event is set."""
    served = Served("base", textmill.load(folders["base"]), 0)
    go_on, inside, hidden = threading.Event(), threading.Event(), served.model.hidden

    def waits(*args: Any, **more: Any) -> Any:
        inside.set()
        go_on.wait(60)
        return hidden(*args, **more)

    monkeypatch.setattr(served.model, "hidden", waits)
    yield served, inside, go_on
    go_on.set()


def test_an_engine_that_stands_still_is_ill(held, monkeypatch) -> None:
    served, inside, go_on = held
    monkeypatch.setattr(app, "STILL_SECONDS", 0.05)
    with TestClient(app.create_app({"base": served}), base_url="http://localhost") as client:
        assert client.get("/health").json().items() >= {"status": "ok", "not_moving": []}.items()
        body = {"model": "base", "prompt": "A", "max_tokens": 2}
        asking = threading.Thread(target=lambda: client.post("/v1/completions", json=body))
        asking.start()
        assert inside.wait(60)
        while (answer := client.get("/health")).status_code == 200:
            pass
        assert answer.status_code == 503
        assert answer.json().items() >= {"status": "ill", "not_moving": ["base"]}.items()
        go_on.set()
        asking.join()
        assert client.get("/health").status_code == 200


def test_what_nobody_fetches_isnt_written_for_ever(folders: dict[str, Path], monkeypatch) -> None:
    monkeypatch.setattr("textmill.inference.engine_thread.MOST_UNREAD", 5)
    folder = textmill.load(folders["lstm"])
    engine = EngineThread(Engine(folder.model, folder.tokenizer))

    async def fetch_late() -> None:
        stream = engine.stream(Request((1,), max_tokens=100_000))
        await anext(stream)
        while engine.open_answers:
            await asyncio.sleep(0.01)
        with pytest.raises(TooSlow, match="5 pieces of the answer weren't fetched"):
            async for _ in stream:
                pass

    try:
        asyncio.run(fetch_late())
    finally:
        engine.close()


def test_who_comes_while_models_are_loaded_is_told_so() -> None:
    with listen("127.0.0.1", 0) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with loading(listening):
            for answer in (
                requests.get(f"{address}/ready", timeout=30),
                requests.post(f"{address}/v1/completions", json={"prompt": "a" * 10_000}, timeout=30),
            ):
                assert answer.status_code == 503 and answer.json()["error"]["code"] == "loading"
                assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
                assert int(answer.headers["retry-after-ms"]) > 0
        assert listening.gettimeout() is None
