"""Folded words, for models that read alone: neither case nor white space makes another token; places are the text's."""

from pathlib import Path

import pytest

from textmill.errors import RecipeError
from textmill.recipe import settings_of
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import TooLittleText, train_tokenizer

TEXTS = ["What fowl grabs the Spotlight, don't it?  42nd STREET 北京很好 !", "naïve Straße"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    with pytest.raises(TooLittleText) as few:
        train_tokenizer(TokenizerSettings(kind="word", fold=True, vocabulary_size=999), TEXTS, special=(PAD,))
    settings = TokenizerSettings(kind="word", fold=True, vocabulary_size=few.value.found)
    return train_tokenizer(settings, TEXTS, special=(PAD,))


def test_case_and_white_space_make_no_other_token(tokenizer: Tokenizer) -> None:
    plain, odd = tokenizer.encode_batch(["what fowl, naïve 北京!", "  WHAT\n\tFowl ,NAÏVE北 京 !"])
    assert plain == odd and len(plain) == 7
    assert tokenizer.unknown_id not in plain
    assert tokenizer.encode_batch(["zebra"]) == [[tokenizer.unknown_id]]


def test_places_are_those_of_the_text(tokenizer: Tokenizer) -> None:
    text = "WHAT  fowl 42nd 北京"
    _, spans = tokenizer.encode_with_spans([text])[0]
    assert [text[begin:end] for begin, end in spans] == ["WHAT", "fowl", "42nd", "北", "京"]


def test_it_is_saved_and_opened_again(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def test_only_words_are_folded() -> None:
    with pytest.raises(RecipeError, match=r"fold is for kind = 'word', found kind = 'bpe'"):
        settings_of(TokenizerSettings, {"fold": True}, "here")
