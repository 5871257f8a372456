"""Bodies that are none, bodies that are too large, and pages of the web: what is refused before it is read."""

import json
import re

import pytest

from .clients import sent


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\\ud800"}',
        b'{"model": "base", "prompt": "a \\udfff"}',
        b'{"model": "base", "\\ud800": 1}',
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"model": 3}',
        b'{"model": "base"',
        b"[" * 100_000,
    ],
)
def test_bodies_that_are_none(address: str, body: bytes) -> None:
    status, answer = sent(address, "/v1/completions", body)
    assert status == 400 and answer["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "path, body, param, why",
    [
        ("completions", b"{bad", None, "the body isn't JSON: Expecting .* at character 1$"),
        ("completions", b"[1]", None, "^the body: Input should be a JSON object; found"),
        ("completions", b'{"model": "base", "echo": true}', "echo", "it can only be false$"),
        ("completions", b'{"model": "base", "logit_bias": {"999999": 1}}', "logit_bias", "tokens below"),
        ("completions", b'{"model": "base", "stop": ["a", ""]}', "stop.1", "at least 1 character"),
        (
            "chat/completions",
            b'{"model": "talker", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}',
            "messages.0.content.0.type",
            "Input should be 'text'; found image_url",
        ),
        (
            "chat/completions",
            b'{"model": "talker", "messages": [{"role": "user", "content": "%s"}]}' % (b"a b " * 300),
            "messages",
            r"the prompt is \d+ tokens long",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_field(address: str, path: str, body: bytes, param: str | None, why: str) -> None:
    status, answer = sent(address, f"/v1/{path}", body)
    assert status == 400 and answer["error"]["param"] == param
    assert re.search(why, answer["error"]["message"])


def test_a_body_is_read_up_to_a_limit(address: str) -> None:
    status, answer = sent(address, "/v1/completions", json.dumps({"model": "base", "prompt": "a" * 2_000_001}).encode())
    assert status == 413 and "2,000,000" in answer["error"]["message"]
    assert sent(address, "/v1/nothing", b"{}")[0] == 404


def test_pages_of_the_web_cant_ask(address: str) -> None:
    """Neither from their own origin, nor by a name of theirs that points here; the server's own page can."""
    body = json.dumps({"model": "base", "prompt": "a", "max_tokens": 1}).encode()
    own = address.removeprefix("http://")
    for headers, status in [
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"http://{own}.example.org"}, 403),
        ({"Host": "example.org"}, 403),
        ({"Host": f"{own}@example.org"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": address}, 200),
        ({"Host": f"localhost:{own.partition(':')[2]}"}, 200),
    ]:
        assert sent(address, "/v1/completions", body, **headers)[0] == status, headers
