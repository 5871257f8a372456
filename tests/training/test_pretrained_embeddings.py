"""Tokens that are words begin with their vectors, at the table's own spread; all others stay as they were."""

from pathlib import Path

import numpy as np
import pytest
import torch

from textmill.errors import ModelError, RecipeError, TrainingError
from textmill.formats.word_vectors import write_word_vectors
from textmill.models.decoder import Decoder
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer
from textmill.training.pretrained_embeddings import begin_with_word_vectors, words_of_tokens


@pytest.fixture(scope="module", params=["bpe", "wordpiece", "unigram", "word"])
def tokenizer(request: pytest.FixtureRequest, texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(kind=request.param, vocabulary_size=700), texts[:25])


@pytest.fixture
def model(make_decoder, tokenizer: Tokenizer) -> Decoder:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    model.initialise(0)
    return model


def write(path: Path, words: list[str], width: int = 48) -> dict[str, torch.Tensor]:
    vectors = np.random.default_rng(0).normal(0.02, 0.003, (len(words), width)).astype(np.float32)
    write_word_vectors(path, words, vectors)
    return dict(zip(words, torch.from_numpy(vectors)))


def test_whole_words_take_their_vectors_and_nothing_else_changes(model: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    vectors = write(path, ["the", "The", "in", "if", "this", "far", "<|endoftext|>"])
    before = model.embedding.weight.detach().clone()
    said = begin_with_word_vectors(model, tokenizer, path)
    expected = {word: word for word in ("the", "The", "in", "if", "this")} | {"In": "in", "If": "if", "This": "this"}
    spelled = {id: tokenizer.token_bytes(id).decode("latin-1").removeprefix(" ") for id in range(tokenizer.vocabulary_size)}
    found = {id: expected[word] for id, word in spelled.items() if word in expected}
    assert set(found.values()) >= {"the", "The", "in"} and {"In", "If", "This"} & {spelled[id] for id in found}
    assert f"{len(found)} of 700 tokens begin with" in said
    same = [id for id in spelled if id not in found]
    assert torch.equal(model.embedding.weight[same], before[same])
    for id, word in found.items():
        torch.testing.assert_close(
            torch.cosine_similarity(model.embedding.weight[id], vectors[word], dim=0), torch.tensor(1.0), atol=1e-5, rtol=0
        )
    assert float(model.embedding.weight.detach()[list(found)].std()) == pytest.approx(float(before.std()), rel=0.01)


def test_pieces_of_characters_and_white_space_are_no_words(tokenizer: Tokenizer) -> None:
    words = words_of_tokens(tokenizer)
    assert tokenizer.bos_id not in words and all(word.split() == [word] for word in words.values())
    assert {"the", "class"} <= set(words.values())


def test_vectors_that_fit_nothing_are_refused(model: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path, before = tmp_path / "v.txt", model.embedding.weight.clone()
    write(path, ["слово", "mot"])
    with pytest.raises(TrainingError, match=r"holds 2 words, and none is a token of the tokenizer"):
        begin_with_word_vectors(model, tokenizer, path)
    write(path, ["the"], width=50)
    with pytest.raises(RecipeError, match=r"vectors of 50 numbers, and the model is 48 wide; write model\.width = 50"):
        begin_with_word_vectors(model, tokenizer, path)
    with pytest.raises(ModelError, match="does not exist"):
        begin_with_word_vectors(model, tokenizer, tmp_path / "none.txt")
    assert torch.equal(model.embedding.weight, before)


def test_duplicates_are_counted_and_said(model: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    row = " ".join(["0.5", *["-0.5"] * 47])
    path.write_text(f"the {row}\nthe {row}\nfar {row}\n")
    assert "1 came twice, and the first was taken" in begin_with_word_vectors(model, tokenizer, path)
