"""Chats, by OpenAI's own client against a real server process: whole, streamed, gone on with, and what is refused."""

from pathlib import Path
from typing import Any

import openai
import pytest

import textmill

from .clients import ASKED, streamed


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
    assert usage.tokens_per_second > 0 and whole.usage.tokens_per_second > 0
    assert usage.prompt_tokens_details.cached_tokens > 0  # the same prompt was read a moment ago


def test_headers_tell_how_fast_an_answer_came_and_what_was_known(client: openai.OpenAI) -> None:
    asked = {"model": "talker", "messages": ASKED, "max_tokens": 20, "temperature": 0}
    client.chat.completions.create(**asked)
    raw = client.chat.completions.with_raw_response.create(**asked)
    usage = raw.parse().usage
    assert usage and usage.prompt_tokens_details and usage.completion_tokens_details
    assert float(raw.headers["x-tokens-per-second"]) == usage.tokens_per_second > 0
    assert int(raw.headers["x-cached-tokens"]) == usage.prompt_tokens_details.cached_tokens > 0
    assert int(raw.headers["x-guessed-tokens"]) == usage.completion_tokens_details.accepted_prediction_tokens


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
        ({"logit_bias": {"512": 1}}, "logit_bias", "below 512"),
        ({"presence_penalty": 2.5}, "presence_penalty", "less than or equal to 2"),
        ({"frequency_penalty": -3}, "frequency_penalty", "greater than or equal to -2"),
        ({"top_logprobs": 3}, "top_logprobs", "needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ({"stop": ""}, "stop", "at least 1 character"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "system"),
        ({"messages": [{"role": "user", "content": "word " * 300}]}, "messages", "leaves room for 255"),
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
