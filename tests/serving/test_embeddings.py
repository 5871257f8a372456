"""Vectors of texts, by OpenAI's own client against a real server process."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

import textmill
from textmill.formats.model_folder import ModelFolder
from textmill.inference.embed import embed

TEXTS = ["a class", "a list of names", "x", "", "If the expression is a list, then it is " * 3]


@pytest.fixture(scope="module")
def folder(folders: dict[str, Path]) -> ModelFolder:
    return textmill.load(folders["encoder"])


def vectors(answer: Any) -> np.ndarray:
    """Those of an answer, whichever way they are written, in the order of its `index`."""
    found = {one.index: one.embedding for one in answer.data}
    assert list(found) == list(range(len(answer.data)))
    decoded = [np.frombuffer(base64.b64decode(one), dtype="<f4") if isinstance(one, str) else one for one in found.values()]
    return np.array(decoded)


@pytest.mark.parametrize("encoding_format", ["float", "base64", openai.NOT_GIVEN])
def test_each_text_gets_its_vector_in_all_four_forms(client: openai.OpenAI, folder: ModelFolder, encoding_format: Any) -> None:
    """A text, several, the tokens of one, those of several."""
    tokens = [folder.tokenizer.encode_whole(text) for text in TEXTS]
    assert tokens[3], "an empty text is what stands around each"
    expected = embed(folder.model, folder.tokenizer, TEXTS).numpy()
    for given in (TEXTS, tokens):
        many = client.embeddings.create(model="encoder", input=given, encoding_format=encoding_format)
        np.testing.assert_allclose(vectors(many), expected, atol=1e-5)
        assert many.usage.prompt_tokens == many.usage.total_tokens == sum(map(len, tokens))
        one = client.embeddings.create(model="encoder", input=given[1], encoding_format=encoding_format)
        np.testing.assert_allclose(vectors(one), expected[1:2], atol=1e-5)
        assert one.usage.prompt_tokens == len(tokens[1])
    assert many.object == "list" and many.model == "encoder"


def test_many_at_once_get_what_each_gets_alone(client: openai.OpenAI, folder: ModelFolder, texts: list[str]) -> None:
    asked = [[texts[n][: 3 + 7 * k % 90] for k in range(1 + 20 * n)] for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: client.embeddings.create(model="encoder", input=one), asked))
    for one, answer in zip(asked, answers, strict=True):
        np.testing.assert_allclose(vectors(answer), embed(folder.model, folder.tokenizer, one).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"input": "word " * 300}, "input", "tokens long, and the model's context is 256"),
        ({"input": ["a", "b", "word " * 300]}, "input.2", "tokens long, and the model's context is 256"),
        ({"input": [[5], [5] * 257]}, "input.1", "input.1 is 257 tokens long"),
        ({"input": [5, 512]}, "input", "input has the token 512, and the model's tokens are from 0 to 511"),
        ({"input": [[5] * 255] * 1200}, "input", "at most 300,000 tokens together, found 306,000"),
        ({"input": [[5], [512]]}, "input.1", "input.1 has the token 512"),
        ({"input": [-1]}, "input.0", "greater than or equal to 0"),
        ({"input": [[]]}, "input.0", "at least 1"),
        ({"input": []}, "input", "at least 1"),
        ({"input": ["a", 5]}, "input.1", "valid string"),
        ({"input": ["a"] * 2049}, "input", "at most 2048"),
        ({"encoding_format": "hex"}, "encoding_format", "'float' or 'base64'"),
        ({"dimensions": 7}, "dimensions", "not supported"),
        ({"model": "base"}, "model", "base is a decoder, which doesn't serve /v1/embeddings; it serves /v1/completions"),
        ({"model": "talker"}, "model", "it serves /v1/chat/completions and /v1/completions"),
    ],
)
def test_what_has_no_vector_is_refused_by_name(client: openai.OpenAI, more: dict, param: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(**{"model": "encoder", "input": "a", "encoding_format": "float", **more})
    error = caught.value.response.json()["error"]
    assert words in error["message"] and error["param"] == param
    assert "model" not in more or error["code"] == "model_not_supported"
