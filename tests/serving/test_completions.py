"""Completions, by OpenAI's own client against a real server process: several prompts at once, log-probabilities in columns."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import textmill
from textmill.inference.generate import complete
from textmill.inference.request import TokenLogprob
from textmill.inference.sampling import Sampling
from textmill.serving.logprobs import LogprobColumns
from textmill.tokens.tokenizer import Tokenizer

from .clients import streamed

PROMPTS = ["The class", "A list of", "x", ""]


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


@pytest.mark.parametrize("name", ["base", "lstm"])
def test_several_prompts_get_what_each_would_get_alone(client: openai.OpenAI, folders: dict[str, Path], name: str) -> None:
    asked: Any = {"model": name, "max_tokens": 8, "n": 2, "seed": 5, "logprobs": 1}
    whole = client.completions.create(prompt=PROMPTS, **asked)
    alone = [client.completions.create(prompt=prompt, **asked) for prompt in PROMPTS]
    assert [choice.index for choice in whole.choices] == list(range(8))
    assert [choice.text for choice in whole.choices] == [choice.text for one in alone for choice in one.choices]
    assert len({choice.text for choice in whole.choices}) == 8
    assert whole.usage
    for kind in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(whole.usage, kind) == sum(getattr(one.usage, kind) for one in alone)
    found, reasons = [""] * 8, [""] * 8
    for chunk in client.completions.create(prompt=PROMPTS, **asked, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            found[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert found == [choice.text for choice in whole.choices] and reasons == [choice.finish_reason for choice in whole.choices]
    assert chunk.usage and chunk.usage.prompt_tokens == whole.usage.prompt_tokens
    tokenizer = textmill.load(folders[name]).tokenizer
    tokens: Any = [tokenizer.encode_beginning(prompt) for prompt in PROMPTS[:3]]
    assert [choice.text for choice in client.completions.create(prompt=tokens, **asked).choices] == found[:6]


def test_more_prompts_than_may_wait_are_answered_one_after_the_other(client: openai.OpenAI) -> None:
    asked: Any = {"model": "base", "max_tokens": 3, "temperature": 0}
    prompts = [f"item {number}" for number in range(128)]
    whole = client.completions.create(prompt=prompts, **asked)
    assert [choice.index for choice in whole.choices] == list(range(128)) and whole.usage and whole.usage.prompt_tokens_details
    assert whole.choices[127].text == client.completions.create(prompt=prompts[127], **asked).choices[0].text
    again = client.completions.create(prompt=["The same words, " * 20] * 3, **asked)
    assert again.usage and again.usage.prompt_tokens_details and again.usage.prompt_tokens_details.cached_tokens > 0
    assert len({choice.text for choice in again.choices}) == 1


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"prompt": []}, "prompt", "at least 1"),
        ({"prompt": ["a", 3]}, "prompt.1", "valid string"),
        ({"prompt": [["a"]]}, "prompt.0.0", "valid integer"),
        ({"prompt": [[5], []]}, "prompt.1", "at least 1"),
        ({"prompt": [[5], [512]]}, "prompt.1", "from 0 to 511"),
        ({"prompt": [5, -1]}, "prompt.1", "found -1"),
        ({"prompt": 5}, "prompt", "valid string"),
        ({"prompt": ["a"] * 129}, "prompt", "at most 128"),
        ({"prompt": ["a"] * 9, "n": 16}, "prompt", "prompts times n is at most 128, found 144"),
        ({"prompt": ["a"] * 100, "max_tokens": 20_000}, "prompt", "at most 1,000,000, found 2,000,000"),
        ({"prompt": ["a", "word " * 300], "stream": True}, "prompt.1", "leaves room for 255"),
        ({"echo": True}, "echo", "not supported"),
        ({"best_of": 2}, "best_of", "not supported"),
        ({"suffix": "end"}, "suffix", "not supported"),
    ],
)
def test_what_cant_be_served_is_refused_by_name(client: openai.OpenAI, more: dict, param: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": "base", "prompt": "a", "max_tokens": 2, **more})
    error = caught.value.response.json()["error"]
    assert error["param"] == param and words in error["message"]


def spelled(name: str) -> bytes:
    """The bytes of a token by its name."""
    parts = re.fullmatch(r"bytes:((?:\\x[0-9a-f]{2})+)", name)
    return bytes.fromhex(parts[1].replace("\\x", "")) if parts else name.encode()


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_lie_where_their_text_does_and_none_is_lost(client: openai.OpenAI, stream: bool) -> None:
    """Of tokens that are parts of characters too, which this model writes in plenty."""
    asked: Any = {"model": "base", "prompt": ["The", "A"], "max_tokens": 60, "seed": 3, "temperature": 1.5, "logprobs": 5}
    answer = client.completions.create(**asked, stream=stream)
    texts, columns = ["", ""], [dict[str, list](), dict[str, list]()]
    for chunk in answer if stream else [answer]:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            for name, values in (choice.logprobs.model_dump() if choice.logprobs else {}).items():
                columns[choice.index].setdefault(name, []).extend(values)
    parts = 0
    for text, told in zip(texts, columns):
        assert {len(values) for values in told.values()} == {len(told["tokens"])} and len(told) == 4
        assert b"".join(map(spelled, told["tokens"])).decode("utf-8", "replace").startswith(text)
        for name, begin, end in zip(told["tokens"], told["text_offset"], [*told["text_offset"][1:], len(text)]):
            if not name.startswith("bytes:"):
                assert text[begin:end].removeprefix("\ufffd") == name
        for alternatives in told["top_logprobs"]:
            assert len(alternatives) == 5 and list(alternatives.values()) == sorted(alternatives.values(), reverse=True)
            parts += sum(name.startswith("bytes:") for name in alternatives) > 1
    assert parts


def test_tokens_of_the_same_text_are_told_apart(tokenizer: Tokenizer) -> None:
    assert tokenizer.eos_id is not None
    beyond = tokenizer.vocabulary_size  # a model may have more rows than its tokenizer has tokens
    told = TokenLogprob(tokenizer.eos_id, -0.5, ((tokenizer.eos_id, -0.5), (beyond, -1.0), (beyond + 1, -2.0)))
    [alternatives] = LogprobColumns(tokenizer, continues=True).of([told])["top_logprobs"]
    assert alternatives == {"": -0.5, f"token_id:{beyond}": -1.0, f"token_id:{beyond + 1}": -2.0}
