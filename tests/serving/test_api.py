"""OpenAI's API, by its own client against a real server process."""

import base64
import json
import os
import signal
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

import textmill
from textmill.inference.embed import embed
from textmill.inference.generate import complete
from textmill.inference.sampling import Sampling

SERVED = {"talker", "caller", "base", "lstm", "encoder", "moderator", "sorter"}
ASKED: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What does a class statement do?"}]


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)


def streamed(chunks) -> tuple[str, str | None, Any]:
    """The text of a stream, why it ended, and its usage."""
    text, reason, usage = "", None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += (choice.text if hasattr(choice, "text") else choice.delta.content) or ""
            reason = choice.finish_reason or reason
    return text, reason, usage


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == SERVED
    assert client.models.retrieve("lstm").object == "model"
    talker, lstm, encoder = (client.models.retrieve(name).model_dump() for name in ("talker", "lstm", "encoder"))
    assert talker["context_length"] == 256 and lstm["context_length"] is None
    assert talker["bytes_per_token"] > 0 and lstm["bytes_per_token"] > 0 and encoder["bytes_per_token"] is None
    assert talker["memory_bytes_per_second"] is None  # until doctor has measured it
    with pytest.raises(openai.NotFoundError, match="there is no model other; served are"):
        client.models.retrieve("other")


@pytest.mark.parametrize("more", [{"temperature": 0}, {"seed": 5, "temperature": 1.2, "top_p": 0.9}])
def test_a_streamed_chat_is_the_whole_one(client: openai.OpenAI, more: dict) -> None:
    asked = {"model": "talker", "messages": ASKED, "max_tokens": 30, **more}
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    text, reason, usage = streamed(stream)
    [choice] = whole.choices
    assert text == choice.message.content and reason == choice.finish_reason
    assert whole.usage and usage.completion_tokens == whole.usage.completion_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens_details.accepted_prediction_tokens >= 0
    assert usage.prompt_tokens_details.cached_tokens > 0  # the same prompt was read a moment ago


def test_a_conversation_goes_on_with_the_answer_as_it_came(client: openai.OpenAI) -> None:
    asked = list(ASKED)
    for _ in range(3):
        answer = client.chat.completions.create(model="talker", messages=asked, max_tokens=5, seed=1)
        asked += [answer.choices[0].message, {"role": "user", "content": "And then?"}]
    assert answer.choices


def test_an_answer_that_was_begun_goes_on_to_the_same_end(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    tokenizer = textmill.load(folders["talker"]).tokenizer
    asked: Any = {"model": "talker", "max_tokens": 16, "temperature": 0}
    halved = 0
    for question in ("Why?", "What is a module?", "Name three."):
        whole = client.chat.completions.create(messages=[{"role": "user", "content": question}], **asked, logprobs=True)
        [choice] = whole.choices
        assert choice.logprobs and choice.logprobs.content and whole.usage
        pieces = [bytes(entry.bytes or []) for entry in choice.logprobs.content]
        # The longest beginning up to the middle whose text has the tokens that it was written with.
        for length in range(8, 0, -1):
            begun = b"".join(pieces[:length]).decode("utf-8", "replace")
            if [tokenizer.token_bytes(id) for id in tokenizer.encode(begun)] == pieces[:length]:
                break
        else:
            continue
        halved += 1
        messages: Any = [{"role": "user", "content": question}, {"role": "assistant", "content": begun}]
        go_on: Any = {**asked, "messages": messages, "max_tokens": 16 - length, "extra_body": {"continue_final_message": True}}
        rest = client.chat.completions.create(**go_on)
        assert begun + (rest.choices[0].message.content or "") == choice.message.content
        assert rest.usage and rest.usage.prompt_tokens == whole.usage.prompt_tokens + length
        assert streamed(client.chat.completions.create(**go_on, stream=True))[0] == rest.choices[0].message.content
    assert halved


def test_a_begun_answer_never_holds_special_tokens(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    tokenizer = textmill.load(folders["talker"]).tokenizer
    question: Any = {"role": "user", "content": "x"}
    counts = []
    for begun in ("", "<|endoftext|>"):
        messages: Any = [question, {"role": "assistant", "content": begun}]
        more: Any = {"continue_final_message": True}
        answer = client.chat.completions.create(model="talker", messages=messages, max_tokens=1, extra_body=more)
        assert answer.usage
        counts.append(answer.usage.prompt_tokens)
    assert counts[1] - counts[0] == len(tokenizer.encode("<|endoftext|>")) > 1


def test_an_answer_to_nothing_can_t_be_gone_on_with(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "assistant", "content": "y"}]
    with pytest.raises(openai.BadRequestError, match="before which there is at least one message; found none"):
        client.chat.completions.create(model="talker", messages=messages, extra_body={"continue_final_message": True})


@pytest.mark.parametrize("role", ["user", "system"])
def test_only_an_answer_can_be_gone_on_with(client: openai.OpenAI, role: str) -> None:
    messages: Any = [{"role": "user", "content": "x"}, {"role": role, "content": "y"}]
    with pytest.raises(openai.BadRequestError, match=f"an assistant's message; the last one is of the {role}"):
        client.chat.completions.create(model="talker", messages=messages, extra_body={"continue_final_message": True})


def test_completions_are_the_model_s_own(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    for name in ("base", "lstm"):
        folder = textmill.load(folders[name])
        expected = complete(folder.model, folder.tokenizer, "The class", Sampling(temperature=0), max_tokens=20)
        answer = client.completions.create(model=name, prompt="The class", temperature=0, max_tokens=20)
        assert answer.choices[0].text == expected
        text, _, _ = streamed(
            client.completions.create(model=name, prompt="The class", temperature=0, max_tokens=20, stream=True)
        )
        assert text == expected
        ids: Any = folder.tokenizer.encode_beginning("The class")
        assert client.completions.create(model=name, prompt=ids, temperature=0, max_tokens=20).choices[0].text == expected


def test_many_at_once_get_what_each_gets_alone(client: openai.OpenAI) -> None:
    def answer(n: int) -> str:
        return client.completions.create(model="base", prompt=f"a list of {n}", seed=n, max_tokens=5 + 3 * n).choices[0].text

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(answer, range(8)))
    assert together == [answer(n) for n in range(8)]


def test_stop_strings_and_limits(client: openai.OpenAI) -> None:
    asked: Any = {"model": "base", "prompt": "The", "temperature": 0}
    text = client.completions.create(**asked, max_tokens=40).choices[0].text
    stopped = client.completions.create(**asked, max_tokens=40, stop=[text[4:7], "never there"]).choices[0]
    assert stopped.text == text[: text.index(text[4:7])] and stopped.finish_reason == "stop"
    assert client.completions.create(**asked, max_tokens=1).choices[0].finish_reason == "length"


def test_biases_and_penalties_are_honoured(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    first, second = (textmill.load(folders["base"]).tokenizer.encode(text)[0] for text in "xy")
    asked: Any = {"model": "base", "prompt": "The", "max_tokens": 8, "temperature": 0}
    bias = {str(first): 100}
    assert client.completions.create(**asked, logit_bias=bias).choices[0].text == "x" * 8
    text = (
        client.completions.create(**asked, logit_bias={str(first): 100, str(second): 100}, frequency_penalty=2).choices[0].text
    )
    assert set(text) == {"x", "y"}


def test_choices_are_the_answers_of_the_seeds_that_follow(client: openai.OpenAI) -> None:
    asked: Any = {"model": "talker", "messages": ASKED, "max_tokens": 9}
    whole = client.chat.completions.create(**asked, n=3, seed=7)
    alone = [client.chat.completions.create(**asked, seed=seed) for seed in (7, 8, 9)]
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in whole.choices]
    assert texts == [one.choices[0].message.content for one in alone] and len(set(texts)) == 3
    assert whole.usage and whole.usage.completion_tokens == sum(one.usage.completion_tokens for one in alone if one.usage)
    found = ["", "", ""]
    for chunk in client.chat.completions.create(**asked, n=3, seed=7, stream=True):
        found[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert found == texts


def test_logprobs_tell_each_token(client: openai.OpenAI) -> None:
    asked: Any = {"model": "talker", "messages": ASKED, "max_tokens": 12, "temperature": 0}
    told = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3).choices[0]
    assert told.logprobs and told.logprobs.content
    spelled = b"".join(bytes(entry.bytes or []) for entry in told.logprobs.content)
    assert spelled.decode("utf-8", "replace").startswith(told.message.content or "?")
    for entry in told.logprobs.content:
        assert len(entry.top_logprobs) == 3 and entry.logprob == entry.top_logprobs[0].logprob <= 0
    stream = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3, stream=True)
    streamed_entries = [entry for chunk in stream if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert [entry.token for entry in streamed_entries] == [entry.token for entry in told.logprobs.content]


def test_embeddings(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    texts = ["a class", "a list of names", "x"]
    folder = textmill.load(folders["encoder"])
    expected = embed(folder.model, folder.tokenizer, texts)
    for form in ("float", "base64"):
        answer = client.embeddings.create(model="encoder", input=texts, encoding_format=form)
        for one, vector in zip(answer.data, expected):
            assert one.index == answer.data.index(one)
            found = one.embedding
            if isinstance(found, str):
                found = np.frombuffer(base64.b64decode(found), dtype="<f4").tolist()
            assert found == pytest.approx(vector.tolist(), abs=1e-6)
    default = client.embeddings.create(model="encoder", input="a class")
    assert default.data[0].embedding == pytest.approx(expected[0].tolist(), abs=1e-6)
    assert default.usage.prompt_tokens == len(folder.tokenizer.encode_whole("a class"))


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"temperature": -1}, "temperature", "found -1"),
        ({"temperature": 2.5}, "temperature", "less than or equal to 2"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"max_tokens": 0}, "max_tokens", "found 0"),
        ({"max_tokens": -5}, "max_tokens", "found -5"),
        ({"n": 0}, "n", "found 0"),
        ({"n": 17}, "n", "less than or equal to 16"),
        ({"n": 16, "max_tokens": 100_000}, "n", "at most 1,000,000, found 1,600,000"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "less than or equal to 100"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a", "valid integer"),
        ({"logit_bias": {"512": 1}}, None, "below 512"),
        ({"presence_penalty": 2.5}, "presence_penalty", "less than or equal to 2"),
        ({"frequency_penalty": -3}, "frequency_penalty", "greater than or equal to -2"),
        ({"top_logprobs": 3}, "top_logprobs", "needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ({"stop": ""}, "stop", "at least 1 character"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "system"),
        ({"messages": [{"role": "user", "content": "word " * 300}]}, None, "leaves room for 255"),
        ({"max_completion_tokens": 4}, "max_tokens", "give one of them"),
        ({"model": "encoder"}, "model", "doesn't write; it serves /v1/embeddings"),
        ({"model": "base"}, "model", "no chat template"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "set stream too"),
    ],
)
def test_what_cant_be_served_is_refused_by_name(client: openai.OpenAI, more: dict, param: str | None, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "talker", "messages": ASKED, "max_tokens": 5, **more})
    error = caught.value.response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and words in error["message"] and error["param"] == param


def test_what_nobody_knows_is_named_in_the_answer(client: openai.OpenAI) -> None:
    asked: Any = {"model": "talker", "messages": ASKED, "max_tokens": 3, "n": 1, "tools": []}
    answer = client.chat.completions.with_raw_response.create(**asked, user="me", extra_body={"wibble": 3})
    assert answer.headers["x-ignored-params"] == "user, wibble"
    inner: Any = {**asked, "messages": [{"role": "user", "content": "hi", "name": "Ann"}]}
    answer = client.chat.completions.with_raw_response.create(
        **inner, stream=True, extra_body={"stream_options": {"include_usage": True, "wobble": 1}}
    )
    assert answer.headers["x-ignored-params"] == "stream_options.wobble, messages.0.name"
    assert "x-ignored-params" not in client.chat.completions.with_raw_response.create(**asked).headers


def sent(address: str, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """Status and JSON of a POST of any bytes."""
    request = urllib.request.Request(address + path, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


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
            with pytest.raises(openai.AuthenticationError, match="a key is needed"):
                openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0).models.list()
        assert sent(address, "/v1/completions", b"{}")[0] == 401
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
    assert "two models are called base" in refused(folders["base"], folders["base"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "give another --port" in refused(folders["base"], "--port", taken.getsockname()[1])


def test_an_answer_that_is_being_written_is_finished_after_sigterm(
    starter: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    server = starter.leave(tmp_path, "serve", folders["lstm"], "--port", 0)
    address = server.first_line().split(" at ")[1].split(",")[0]
    client = openai.OpenAI(base_url=address, api_key="any", max_retries=0)
    stream = client.completions.create(model="lstm", prompt="The", max_tokens=3000, temperature=1.0, stream=True)
    next(iter(stream))
    os.kill(server.pid, signal.SIGTERM)
    assert streamed(stream)[1] in ("stop", "length")
    assert server.wait() in (0, -signal.SIGTERM)
