"""What was published against other servers, where it isn't among what test_hostile.py sends: each is tried on ours."""

import ast
import base64
import hashlib
import itertools
import pickle
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from fastapi.testclient import TestClient

import textmill
from textmill.serving.app import OPEN_PATHS, create_app
from textmill.serving.page import PATHS
from textmill.serving.served import Served

CODE = Path(textmill.__file__).parent
SECONDS = 60
ASKED: dict[str, Any] = {"model": "talker", "messages": [{"role": "user", "content": "one two " * 20}], "max_tokens": 12}
FEATURES: dict[str, Any] = {
    "temperature": 1.5,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.2,
    "typical_p": 0.5,
    "repetition_penalty": 1.5,
    "presence_penalty": 2,
    "frequency_penalty": -2,
    "logit_bias": {"40": 100, "41": -100},
    "n": 3,
    "seed": -1,
    "stop": ["a", "one"],
    "logprobs": True,
    "response_format": {"type": "json_object"},
    "guided_regex": "[a-z]{1,5}",
    "stream": True,
    "continue_final_message": True,
}


def post(address: str, path: str, body: dict[str, Any]) -> requests.Response:
    return requests.post(f"{address}/v1/{path}", json=body, timeout=SECONDS)


def test_what_serves_reads_no_pickles() -> None:
    """Neither from a file nor from another process: the modules that could aren't imported, and torch's own door stays shut."""
    for room in ("serving", "inference", "models", "tokens", "formats"):
        for path in (CODE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                roots = {name.partition(".")[0] for name in imported}
                assert not roots & {"pickle", "marshal", "shelve", "dill", "joblib", "multiprocessing"}, path
                assert not isinstance(node, ast.Attribute) or ast.unparse(node) != "torch.load", path
                if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                    assert ast.unparse(node.value) == "False", path


def test_only_the_api_listens(address: str) -> None:
    """No socket of the server or of its processes takes messages but the one that has the API."""
    port = int(address.rpartition(":")[2])
    lines = {child: child.net_connections("inet") for child in psutil.Process().children(recursive=True)}
    [server] = [child for child, own in lines.items() if any(line.laddr.port == port for line in own)]
    family = [server, *server.children(recursive=True)]
    listening = [line for one in family for line in one.net_connections("inet") if line.status in ("LISTEN", "NONE")]
    assert [line.laddr.port for line in listening] == [port]
    assert not [line.laddr for one in family for line in one.net_connections("unix") if line.laddr]


def test_what_a_request_brings_as_tensors_stays_text(address: str, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "opened",)

    packed = base64.b64encode(pickle.dumps(Bomb())).decode()
    more = {"prompt_embeds": packed, "prompt_logprobs": -1, "n_discard": -5, "kv_transfer_params": {"data": packed}}
    answer = post(address, "completions", {"model": "base", "prompt": "a", "max_tokens": 2, **more})
    assert answer.status_code == 200 and answer.headers["x-ignored-params"] == ", ".join(more)
    assert not (tmp_path / "opened").exists()
    assert post(address, "completions", {"model": "base", "prompt": {"embeds": packed}}).status_code == 400


def test_every_pair_of_features_is_served_together(address: str) -> None:
    """Also where the model repeats itself, so that it is guessed for; and afterwards the engine answers as before."""
    plain = {**ASKED, "temperature": 0, "max_tokens": 40}
    before = post(address, "chat/completions", plain).json()["choices"]
    draw, missing = random.Random(5), set(itertools.combinations(FEATURES, 2))
    while missing:
        names = [name for name in FEATURES if draw.random() < 0.5]
        body = {**ASKED, **{name: FEATURES[name] for name in names}}
        if "continue_final_message" in names:
            body["messages"] = [*ASKED["messages"], {"role": "assistant", "content": "one"}]
        answer = post(address, "chat/completions", body)
        two_rules = {"response_format", "guided_regex"} <= set(names)
        assert (
            answer.status_code == (400 if two_rules else 200) and '"error"' not in answer.text[: None if not two_rules else 0]
        )
        missing -= set(itertools.combinations(names, 2))
    assert post(address, "chat/completions", plain).json()["choices"] == before


@pytest.mark.parametrize("more", [{"prompt": ""}, {"prompt": " "}, {"prompt": "\x00"}, {"prompt": ["", ""]}, {}])
def test_empty_prompts(address: str, more: dict[str, Any]) -> None:
    answer = post(address, "completions", {"model": "base", "max_tokens": 2, **more})
    assert answer.status_code == 200 and answer.json()["usage"]["prompt_tokens"] > 0


def test_while_a_rule_is_compiled_others_are_answered(address: str) -> None:
    found: list[requests.Response] = []
    body = {**ASKED, "guided_regex": "((((a{1000}){1000}){1000}){1000})"}
    asking = threading.Thread(target=lambda: found.append(post(address, "chat/completions", body)))
    asking.start()
    while True:
        assert post(address, "completions", {"model": "base", "prompt": "a", "max_tokens": 1}).status_code == 200
        if not asking.is_alive():
            break
    assert found[0].status_code == 400 and found[0].json()["error"]["param"] in ("guided_regex", None)


@pytest.fixture(scope="module")
def guarded(folders: dict[str, Path]) -> Iterator[TestClient]:
    """A server with the keys one-… and two-…."""
    keys = [hashlib.sha256(f"{name}-key-of-some-length".encode()).digest() for name in ("one", "two")]
    app = create_app({"base": Served("base", textmill.load(folders["base"]), 0)}, keys)
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "one-key-of-some-length"},
        {"api-key": "one-key-of-some-length"},
        {"Authorization": "one-key-of-some-length"},
        {"Authorization": "Basic one-key-of-some-length"},
        {"Authorization": "Bearer one-key-of-some-lengt"},
        {"Authorization": "Bearer " + hashlib.sha256(b"one-key-of-some-length").hexdigest()},
        {"Cookie": "key=one-key-of-some-length"},
    ],
)
def test_nothing_is_open_without_a_key(guarded: TestClient, headers: dict[str, str]) -> None:
    """But health, and the page, which asks for a key itself; also what isn't there isn't told apart."""
    paths = set(guarded.app.openapi()["paths"]) - OPEN_PATHS - PATHS  # type: ignore[attr-defined]
    assert {"/metrics", "/v1/models", "/v1/completions"} <= paths
    for path in [
        *paths,
        "/openapi.json",
        "/docs",
        "/invocations",
        "/pause",
        "/update_weights",
        "/v1/../v1/models",
        "//v1/models",
    ]:
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
            assert guarded.request(method, path, headers=headers).status_code == 401, (method, path)


def test_one_key_finds_nothing_that_another_has_asked(guarded: TestClient) -> None:
    body = {"model": "base", "prompt": "A secret of one's own. " * 6, "max_tokens": 2}

    def cached(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}-key-of-some-length"}
        usage = guarded.post("/v1/completions", json=body, headers=headers).json()["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"]

    assert cached("one") == 0 < cached("one")
    assert cached("two") == 0 < cached("two")
