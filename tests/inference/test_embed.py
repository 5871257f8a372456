"""Vectors of texts are transformers' own on the real weights, whatever stands beside a text in its batch."""

from pathlib import Path

import pytest
import tokenizers
import torch
import transformers

from textmill import load
from textmill.errors import GenerationError
from textmill.inference.embed import embed
from textmill.tokens.tokenizer import Tokenizer

TEXTS = ["A cat sleeps on the mat.", "The kitten is napping.", "Stocks fell sharply on Monday, and bonds rose.", ""]


@pytest.fixture(scope="module")
def minilm(real_sample) -> Path:
    return real_sample("minilm")


@torch.no_grad()
def test_minilm_gives_what_transformers_gives(minilm: Path) -> None:
    folder = load(minilm)
    ours = embed(folder.model, folder.tokenizer, TEXTS)
    stock, tokenizer = transformers.AutoModel.from_pretrained(minilm), transformers.AutoTokenizer.from_pretrained(minilm)
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    real = inputs["attention_mask"][..., None]
    mean = (stock(**inputs).last_hidden_state * real).sum(dim=1) / real.sum(dim=1)
    torch.testing.assert_close(ours, torch.nn.functional.normalize(mean, dim=-1), atol=1e-5, rtol=1e-5)
    similarity = ours @ ours.T
    assert similarity[0, 1] > 0.5 > 0.2 > similarity[0, 2], "two of the same matter are alike, two of others aren't"


def test_a_vector_does_not_depend_on_its_neighbours(make_encoder, tokenizer, texts) -> None:
    model = make_encoder("modernbert")
    short = [text[:length] for length, text in zip(range(1, 80, 2), texts)]
    together = embed(model, tokenizer, short)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(len(short)))
    for place in (0, 7, 39):
        torch.testing.assert_close(embed(model, tokenizer, [short[place]])[0], together[place], atol=1e-5, rtol=1e-4)


def test_what_has_no_vector_is_told(make_encoder, make_decoder, tokenizer, texts) -> None:
    with pytest.raises(GenerationError, match="a decoder gives no vectors of texts"):
        embed(make_decoder(), tokenizer, ["a"])
    with pytest.raises(GenerationError) as error:
        embed(make_encoder("bert"), tokenizer, [texts[0], "a", texts[1]])
    assert [problem.split(" is ")[0] for problem in error.value.problems] == ["text 1", "text 3"]
    assert "the model's context is 64" in str(error.value)


def test_an_empty_text_is_what_stands_around_it(make_encoder, tokenizer) -> None:
    """Where nothing does, it has no vector."""
    model = make_encoder("bert")
    assert tokenizer.encode_whole("") and embed(model, tokenizer, [""]).isfinite().all()
    backend = tokenizers.Tokenizer.from_str(tokenizer._backend.to_str())
    backend.post_processor = None
    with pytest.raises(GenerationError, match="text 2 has no tokens"):
        embed(model, Tokenizer(backend), ["a", ""])
