"""What has brought other servers down, sent to a real one: each is refused in the API's own form, and the server goes on."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

FOUR_KEYS = {"message", "type", "param", "code"}
CHAT: dict[str, Any] = {"model": "talker", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
COMPLETION: dict[str, Any] = {"model": "base", "prompt": "a", "max_tokens": 2}
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": CHAT,
    "completions": COMPLETION,
    "embeddings": {"model": "encoder", "input": "a"},
    "fill": {"model": "encoder", "input": "a <|mask|>"},
    "classify": {"model": "sorter", "input": "a"},
    "moderations": {"model": "moderator", "input": "a"},
}
SECONDS = 30
FLOATS = (
    "temperature", "top_p", "min_p", "typical_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
)  # fmt: skip
WHOLE = ("top_k", "max_tokens", "max_completion_tokens", "n", "seed", "top_logprobs")


@pytest.fixture(autouse=True)
def goes_on(address: str) -> Iterator[None]:
    """After whatever was sent, the server is well, and answers."""
    yield
    assert requests.get(f"{address}/health", timeout=SECONDS).json()["status"] == "ok"
    assert requests.post(f"{address}/v1/completions", json=COMPLETION, timeout=SECONDS).status_code == 200


def post(address: str, path: str, body: Any, **headers: str) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(
        f"{address}/v1/{path}", data=data, headers={"Content-Type": "application/json", **headers}, timeout=SECONDS
    )


def refused(answer: requests.Response, param: str | None = None, status: int = 400) -> str:
    """The message of an answer that refuses."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == FOUR_KEYS and (param is None or error["param"] == param), error
    assert answer.headers["x-should-retry"] == "false" and answer.headers["x-request-id"].startswith("req-")
    return error["message"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "-1e308", "1" + "0" * 5000, '"x"', "[]"])
@pytest.mark.parametrize("field", [*FLOATS, *WHOLE])
def test_numbers_that_are_none(address: str, field: str, value: str) -> None:
    body = {**CHAT, "logprobs": True} if field == "top_logprobs" else dict(CHAT)
    body.pop(field, None)
    text = json.dumps(body)[:-1] + f', "{field}": {value}}}'
    refused(post(address, "chat/completions", text.encode()))


@pytest.mark.parametrize("field", WHOLE)
@pytest.mark.parametrize("value", [-(2**63) - 1, 2**64, 10**30, 0.5])
def test_whole_numbers_out_of_reach(address: str, field: str, value: float) -> None:
    refused(post(address, "chat/completions", {**CHAT, "logprobs": True, field: value}), field)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("completions", {"logit_bias": {"5": float("nan")}}),
        ("completions", {"logit_bias": {"-1": 1}}),
        ("completions", {"logit_bias": {str(10**30): 1}}),
        ("completions", {"logprobs": -1}),
        ("completions", {"logprobs": 10**9}),
        ("completions", {"prompt": [-1]}),
        ("completions", {"prompt": [2**63]}),
        ("completions", {"prompt": [10**30]}),
        ("completions", {"prompt": [0.5]}),
        ("completions", {"prompt": []}),
        ("completions", {"prompt": [10**6]}),
        ("completions", {"prompt": [1] * 100_000}),
        ("completions", {"best_of": 10**9}),
        ("chat/completions", {"n": 10**9}),
        ("chat/completions", {"n": 16, "max_tokens": 10**6}),
        ("chat/completions", {"logprobs": True, "top_logprobs": 10**9}),
        ("chat/completions", {"messages": [{"role": "user"}]}),
        ("chat/completions", {"messages": [{"role": "user", "content": None}]}),
        ("chat/completions", {"messages": {"role": "user", "content": "a"}}),
        ("embeddings", {"input": []}),
        ("embeddings", {"input": ["a"] * 2049}),
        ("embeddings", {"input": [[1, 2], "a"]}),
        ("embeddings", {"input": [[[1]]]}),
        ("embeddings", {"input": [10**30]}),
        ("embeddings", {"input": [1] * 100_000}),
        ("embeddings", {"input": {"text": "a"}}),
        ("fill", {"input": "<|mask|>" * 200_000}),
        ("fill", {"input": ["<|mask|>"] * 2049}),
        ("fill", {"top_k": 10**30}),
        ("classify", {"input": []}),
        ("classify", {"input": ["a"] * 2049}),
        ("classify", {"input": [{"text": "a"}]}),
        ("moderations", {"input": []}),
        ("moderations", {"input": None}),
        ("moderations", {"input": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}]}),
        ("moderations", {"input": ["a", {"type": "text", "text": "a"}]}),
    ],
)
def test_what_would_take_too_much_or_is_nothing(address: str, path: str, more: dict[str, Any]) -> None:
    refused(post(address, path, {**BODIES[path], **more}))


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, " " * 1_000_000, "的" * 300_000, "\n" * 500_000, "a" * 999 + "\x00" * 200_000]
)
@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings", "fill"])
def test_texts_that_are_hard_to_tokenise_hold_nobody_up(address: str, path: str, text: str) -> None:
    body: dict[str, Any] = {
        "chat/completions": {**CHAT, "messages": [{"role": "user", "content": text}]},
        "completions": {**COMPLETION, "prompt": text},
        "embeddings": {"model": "encoder", "input": text},
        "fill": {"model": "encoder", "input": f"<|mask|>{text}"},
    }[path]
    found: list[requests.Response] = []
    asking = threading.Thread(target=lambda: found.append(post(address, path, body)))
    asking.start()
    while asking.is_alive():
        assert requests.get(f"{address}/health", timeout=5).status_code == 200
        time.sleep(0.02)
    refused(found[0])


@pytest.mark.parametrize(
    "more",
    [
        {"chat_template": "{% for x in range(10**9) %}{% endfor %}"},
        {"chat_template": "{{ ''.__class__.__mro__ }}"},
        {"chat_template_kwargs": {"tokenize": True, "chat_template": "{{ 1 / 0 }}"}},
        {"add_generation_prompt": False, "documents": ["x"]},
    ],
)
def test_a_request_has_no_say_in_the_template(address: str, more: dict[str, Any]) -> None:
    """What it says of it is named as ignored, and the answer is the one without it."""
    plain = post(address, "chat/completions", {**CHAT, "temperature": 0}).json()
    answer = post(address, "chat/completions", {**CHAT, "temperature": 0, **more})
    assert answer.status_code == 200 and answer.headers["x-ignored-params"] == ", ".join(more)
    assert answer.json()["choices"] == plain["choices"]
    assert answer.json()["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"]


def test_markup_in_a_message_is_text(address: str) -> None:
    bomb = "{% for x in range(10**9) %}{{ x }}{% endfor %}{{ 1 / 0 }}"
    messages = [{"role": "user", "content": bomb}]
    assert post(address, "chat/completions", {**CHAT, "messages": messages}).status_code == 200


def test_no_url_is_fetched(address: str) -> None:
    asked_for = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_for.append(self.path)
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listener.server_port}/x"
        for part in (
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
            {"type": "file", "file": {"file_data": url}},
            {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        ):
            refused(post(address, "chat/completions", {**CHAT, "messages": [{"role": "user", "content": [part]}]}))
        text = [{"role": "user", "content": [{"type": "text", "text": f"![x]({url})", "image_url": {"url": url}}]}]
        answer = post(address, "chat/completions", {**CHAT, "messages": text})
        assert answer.status_code == 200 and answer.headers["x-ignored-params"] == "messages.0.content.0.image_url"
        listener.shutdown()
    assert not asked_for


def test_other_origins_learn_nothing(address: str) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
        answer = requests.request(method, f"{address}/v1/completions", headers=asked, timeout=SECONDS)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    own = requests.get(f"{address}/v1/models", headers={"Origin": address}, timeout=SECONDS)
    assert own.status_code == 200 and not [name for name in own.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "names", [[""], [" "], ["a\r\nX-Evil: 1"], ["\x00"], ["名"], ["a" * 100_000], [f"k{n}" for n in range(5000)]]
)
def test_odd_names_of_fields_break_no_header(address: str, names: list[str]) -> None:
    answer = post(address, "completions", {**COMPLETION, **dict.fromkeys(names, 1)})
    assert answer.status_code == 200 and "x-evil" not in answer.headers
    assert 0 < len(answer.headers["x-ignored-params"]) < 30_000


def test_bodies_that_arent_sent_as_json(address: str) -> None:
    body = json.dumps(COMPLETION).encode()
    refused(requests.post(f"{address}/v1/completions", data=iter([body]), timeout=SECONDS), status=411)  # chunked
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png", "x"):
        assert "application/json" in refused(post(address, "completions", body, **{"Content-Type": kind}), status=415)
    refused(post(address, "completions", body[:-1]))
    refused(post(address, "completions", b'{"model": ' * 50_000))
    refused(requests.get(f"{address}/v1/completions", timeout=SECONDS), status=405)
    refused(requests.delete(f"{address}/v1/models/base", timeout=SECONDS), status=405)
    refused(requests.get(f"{address}/v1/models/..%2f..%2fetc%2fpasswd", timeout=SECONDS), status=404)
    refused(requests.get(f"{address}/page/..%2f..%2fapp.py", timeout=SECONDS), status=404)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"411"),
        (b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://example.org/health HTTP/1.1\r\nHost: example.org\r\n\r\n", b"403"),
        (b"\x16\x03\x01 TLS?\r\n\r\n", b"400"),
    ],
)
def test_what_is_hardly_http(address: str, text: bytes, status: bytes) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(text)
        assert connection.recv(12) == b"HTTP/1.1 " + status


def test_a_head_without_end_is_cut(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"a" * 10_000)
                time.sleep(0.001)
