"""`beam_width` by OpenAI's own client: the answers are the search's, best first, and what can't go with it is refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from textmill import load
from textmill.inference.beam import BeamSearch
from textmill.inference.likeliest import likeliest

PROMPT = "The class statement"
CHAT: Any = [{"role": "user", "content": "What does a class statement do?"}]


def cut(text: str) -> str:
    """Without the character whose last bytes would have come next: an answer of the API leaves it out."""
    return text.rstrip("\ufffd")


@pytest.mark.parametrize("name", ["base", "lstm"])
def test_the_answers_are_the_best_that_are_found(client: openai.OpenAI, folders: dict[str, Path], name: str) -> None:
    """While others are being written."""
    folder = load(folders[name])
    [expected] = likeliest(folder.model, folder.tokenizer, [PROMPT], BeamSearch(4, length_penalty=0.5), max_tokens=12)
    beams = {"beam_width": 4, "length_penalty": 0.5}
    with ThreadPoolExecutor(1) as pool:
        beside: Any = {"model": name, "prompt": "A", "max_tokens": 60, "seed": 3}
        other = pool.submit(client.completions.create, **beside)
        answer = client.completions.create(model=name, prompt=PROMPT, n=3, max_tokens=12, extra_body=beams)
        assert other.result().choices[0].text == client.completions.create(**beside).choices[0].text
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [cut(choice.text) for choice in answer.choices] == [cut(text) for text in expected[:3]]
    tokens = [len(folder.tokenizer.encode_beginning(PROMPT)), answer.usage.completion_tokens if answer.usage else 0]
    assert answer.usage and answer.usage.prompt_tokens == tokens[0] and 3 <= tokens[1] <= 36
    if all(choice.finish_reason == "length" for choice in answer.choices):
        assert tokens[1] == 36


def test_several_prompts_each_have_their_own_best(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    """More answers than one request may have in the engine at once: a search whose answers come late is done again."""
    folder, prompts = load(folders["base"]), [PROMPT, "A"]
    expected = likeliest(folder.model, folder.tokenizer, prompts[:1], BeamSearch(6), max_tokens=7)
    expected += likeliest(folder.model, folder.tokenizer, prompts[1:], BeamSearch(6), max_tokens=7)
    answer = client.completions.create(model="base", prompt=prompts, n=6, max_tokens=7, extra_body={"beam_width": 6})
    assert [cut(choice.text) for choice in answer.choices] == [cut(text) for texts in expected for text in texts]


def test_chats_are_searched_too_and_no_seed_is_told(client: openai.OpenAI) -> None:
    asked: Any = {"model": "talker", "messages": CHAT, "max_tokens": 8}
    neutral: Any = {"temperature": 0, "top_p": 1, "presence_penalty": 0, "logprobs": False, "response_format": {"type": "text"}}
    create = client.chat.completions.with_raw_response.create
    raw = create(**asked, **neutral, extra_body={"beam_width": 3, "min_p": 0})
    assert "x-seed" not in raw.headers and raw.headers["x-max-tokens"] == "8" and "x-ignored-params" not in raw.headers
    best = raw.parse().choices[0]
    assert best.finish_reason in ("stop", "length")
    [same, *_] = client.chat.completions.create(**asked, n=3, extra_body={"beam_width": 3}).choices
    assert same.message.content == best.message.content
    greedy = client.chat.completions.create(**asked, temperature=0).choices[0]
    one = client.chat.completions.create(**asked, extra_body={"beam_width": 1}).choices[0]
    assert one.message.content == greedy.message.content


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"stream": True}, "beam_width", "leave out stream"),
        ({"n": 4}, "n", "beam_width 3 answers are found, and n is 4"),
        ({"beam_width": 0}, "beam_width", "greater than or equal to 1; found 0"),
        ({"beam_width": 17}, "beam_width", "less than or equal to 16; found 17"),
        ({"length_penalty": 6}, "length_penalty", "less than or equal to 5; found 6"),
        ({"beam_width": None, "length_penalty": 1}, "length_penalty", "set beam_width too"),
        ({"beam_width": 16, "max_tokens": 100_000}, "beam_width", "at most 1,000,000, found 1,600,000"),
        ({"temperature": 0.5, "seed": 3}, "temperature", "temperature, seed can't be"),
        ({"top_k": 5}, "top_k", "leave that out"),
        ({"typical_p": 0.9}, "typical_p", "leave that out"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "leave that out"),
        ({"stop": "x"}, "stop", "leave that out"),
        ({"logprobs": True}, "logprobs", "leave that out"),
        ({"response_format": {"type": "json_object"}}, "response_format", "leave that out"),
        ({"guided_regex": "a"}, "guided_regex", "leave that out"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "leave that out"),
    ],
)
def test_what_cant_go_with_it_is_refused_by_name(client: openai.OpenAI, more: dict, param: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        extra = {"beam_width": 3, **more}
        client.chat.completions.create(model="talker", messages=CHAT, max_tokens=5, extra_body=extra)
    error = caught.value.response.json()["error"]
    assert words in error["message"] and error["param"] == param


def test_who_leaves_ends_the_search(client: openai.OpenAI) -> None:
    """One that would take hours, and whose place the next one gets."""
    asked: Any = {"model": "lstm", "prompt": "The"}
    with pytest.raises(openai.APITimeoutError):
        client.completions.create(**asked, max_tokens=60_000, extra_body={"beam_width": 16, "length_penalty": 5}, timeout=0.5)
    assert client.completions.create(**asked, max_tokens=3, extra_body={"beam_width": 2}).choices


def test_a_batch_is_searched_as_the_server_does(client, textmill, folders: dict[str, Path], tmp_path: Path) -> None:
    body: Any = {"model": "base", "prompt": PROMPT, "max_tokens": 9, "n": 2, "beam_width": 3}
    lines = [
        {"custom_id": name, "method": "POST", "url": "/v1/completions", "body": {**body, **more}}
        for name, more in [("good", {}), ("bad", {"n": 5})]
    ]
    asked, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert textmill("batch", folders["base"], asked, out).code == 0
    found = {one["custom_id"]: one["response"] for one in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    beams = {"beam_width": body.pop("beam_width")}
    served = client.completions.create(**body, extra_body=beams)
    assert [choice["text"] for choice in found["good"]["body"]["choices"]] == [choice.text for choice in served.choices]
    assert found["bad"]["status_code"] == 400 and found["bad"]["body"]["error"]["param"] == "n"
