"""Masked words that an encoder fills in, against a real server process."""

from pathlib import Path
from typing import Any

import pytest
import requests

import textmill
from textmill.inference.fill import fill

TEXTS = ["The <|mask|> of a function is <|mask|>.", "<|mask|>", "A list <|mask|>"]


def asked(address: str, **body: Any) -> requests.Response:
    return requests.post(f"{address}/v1/fill", json={"model": "encoder", "input": "a <|mask|>", **body}, timeout=60)


def test_each_mask_gets_its_likeliest_tokens(address: str, folders: dict[str, Path]) -> None:
    folder = textmill.load(folders["encoder"])
    answer = asked(address, input=TEXTS, top_k=3, user="me")
    assert answer.status_code == 200 and answer.headers["x-ignored-params"] == "user"
    content = answer.json()
    assert [one["index"] for one in content["data"]] == [0, 1, 2]
    for text, one in zip(TEXTS, content["data"], strict=True):
        expected = fill(folder.model, folder.tokenizer, text, top=3)
        assert len(one["masks"]) == len(expected) == text.count("<|mask|>")
        for ours, theirs in zip(one["masks"], expected, strict=True):
            assert [(found["text"], found["token"]) for found in ours] == [(right.text, right.token) for right in theirs]
            assert [found["probability"] for found in ours] == pytest.approx([right.probability for right in theirs], abs=1e-5)
    alone = asked(address, input=TEXTS[0]).json()
    assert [found["token"] for found in alone["data"][0]["masks"][1]][:3] == [
        found["token"] for found in content["data"][0]["masks"][1]
    ]
    assert len(alone["data"]) == 1 and len(alone["data"][0]["masks"][0]) == 5
    assert alone["usage"] == {"prompt_tokens": (used := alone["usage"]["prompt_tokens"]), "total_tokens": used} and used > 2


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"input": "no mask"}, "input", "there is no <|mask|> in the text"),
        ({"input": ["<|mask|>", "no mask"]}, "input.1", "input.1: there is no <|mask|> in the text"),
        ({"input": "<|mask|>" * 257}, "input", "258 tokens long, and the model's context is 256"),
        ({"input": ["<|mask|>" * 250] * 11, "top_k": 20}, "input", "at most 50,000, found 55,000"),
        ({"input": [1, 2]}, "input.0", "valid string"),
        ({"top_k": 21}, "top_k", "less than or equal to 20"),
        ({"top_k": 0}, "top_k", "greater than or equal to 1"),
        ({"model": "lstm"}, "model", "which doesn't serve /v1/fill; it serves /v1/completions"),
    ],
)
def test_what_cant_be_filled_in_is_refused_by_name(address: str, more: dict, param: str, words: str) -> None:
    answer = asked(address, **more)
    error = answer.json()["error"]
    assert answer.status_code == 400 and words in error["message"] and error["param"] == param
    assert error["code"] == ("model_not_supported" if "model" in more else "invalid_value")
