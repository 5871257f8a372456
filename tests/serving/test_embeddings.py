"""Vectors of texts, by OpenAI's own client against a real server process."""

import base64
from pathlib import Path

import numpy as np
import openai
import pytest

import textmill
from textmill.inference.embed import embed


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
