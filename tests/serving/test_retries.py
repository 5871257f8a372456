"""Errors, retries and timeouts as OpenAI's own client meets them, which tries again by itself."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
import uvicorn

import textmill
from textmill.serving.app import create_app
from textmill.serving.loading import loading
from textmill.serving.served import Served
from textmill.serving.server import listen

SHORT: Any = {"model": "lstm", "prompt": "The", "max_tokens": 3}


def asking(address: str, retries: int = 0) -> tuple[openai.OpenAI, list[int]]:
    """A client, and the statuses that it meets."""
    met: list[int] = []
    http = openai.DefaultHttpxClient(event_hooks={"response": [lambda response: met.append(response.status_code)]})
    return openai.OpenAI(base_url=f"{address}/v1", api_key="any", http_client=http, max_retries=retries), met


def wait_until(condition: Callable[[], Any]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def rows(address: str) -> dict[str, int]:
    """What the health of a server says of the LSTM's engine."""
    return requests.get(f"{address}/health", timeout=60).json()["rows"]["lstm"]


@pytest.fixture(scope="module")
def narrow(serve, folders: dict[str, Path]) -> Iterator[str]:
    """A server that writes one answer, while one more may wait."""
    with serve(folders["lstm"], "--rows", 1, "--queue", 1) as address:
        yield address


def test_a_full_queue_sends_away(narrow: str, endless: dict[str, Any]) -> None:
    client, _ = asking(narrow)
    first = client.completions.create(**endless, stream=True)
    next(iter(first))
    with ThreadPoolExecutor(4) as pool:
        pending = [pool.submit(client.completions.create, **endless, stream=True) for _ in range(4)]
        for _, refused in zip(range(3), as_completed(pending)):
            error = refused.exception()
            assert isinstance(error, openai.RateLimitError) and "are waiting already" in str(error)
            assert error.code == "queue_full" and error.response.headers["x-should-retry"] == "true"
            assert int(error.response.headers["retry-after-ms"]) > 0
        read = requests.get(f"{narrow}/metrics", timeout=60).text
        assert 'textmill_tokens_total{kind="read",model="lstm"} 0.0' in read  # by those three; the others are still open
        first.close()
        [waited] = [one for one in pending if one.exception() is None]
        assert next(iter(waited.result())).choices
        waited.result().close()


def test_who_is_sent_away_comes_again_and_is_answered(narrow: str, endless: dict[str, Any]) -> None:
    client, met = asking(narrow, retries=10)
    first = asking(narrow)[0].completions.create(**endless, stream=True)
    next(iter(first))
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(asking(narrow)[0].completions.create, **endless, stream=True)
        wait_until(lambda: rows(narrow)["open"] == 2)
        answer = pool.submit(client.completions.create, **SHORT)
        wait_until(lambda: met)
        first.close()
        waiting.result().close()
        assert answer.result().choices
    assert met[0] == 429 and met[-1] == 200 and set(met) == {429, 200}


def test_who_comes_while_models_are_loaded_comes_again_and_is_answered(folders: dict[str, Path]) -> None:
    served = Served("lstm", textmill.load(folders["lstm"]), 0)
    with listen("127.0.0.1", 0) as listening, ThreadPoolExecutor(1) as pool:
        client, met = asking(f"http://127.0.0.1:{listening.getsockname()[1]}", retries=2)
        with loading(listening):
            answer = pool.submit(client.completions.create, **SHORT)
            wait_until(lambda: met)
        server = uvicorn.Server(uvicorn.Config(create_app({"lstm": served}), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        assert answer.result().choices and met == [503, 200]
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("stream", [False, True])
def test_who_waits_no_longer_ends_his_request(narrow: str, endless: dict[str, Any], stream: bool) -> None:
    """By his client's own timeout; also where it is still another's turn."""
    client, met = asking(narrow)
    others = asking(narrow)[0].completions.create(**endless, stream=True)
    next(iter(others))
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).completions.create(**endless, stream=stream)
    wait_until(lambda: rows(narrow)["open"] == 1)
    others.close()
    wait_until(lambda: rows(narrow)["open"] == 0)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).completions.create(**endless)
    wait_until(lambda: rows(narrow) == {"all": 1, "free": 1, "open": 0})
    assert not met


def test_a_refusal_is_final(narrow: str) -> None:
    """What would be refused again isn't asked again, whatever its status."""
    client, met = asking(narrow, retries=3)
    for more, kind in [
        ({"temperature": 9}, openai.BadRequestError),
        ({"model": "other"}, openai.NotFoundError),
        ({"prompt": "a" * 2_000_001}, openai.APIStatusError),
    ]:
        with pytest.raises(kind):
            client.completions.create(**{**SHORT, **more})
    assert met == [400, 404, 413]
