"""A tokenizer as GGUF's metadata and back: the same tokens, of which some are special; what llama.cpp can't do is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textmill.errors import ModelError
from textmill.formats.gguf.splitting import ALIASES, SPLITTINGS, name_of, splitting_of
from textmill.formats.gguf.tokenizer import read_tokenizer, tokenizer_metadata
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

from ...tokens.foreign import MAKERS
from .conftest import SENTENCEPIECE

TEXTS = ["It's 1234 metres, isn't it?\n\n  Two  spaces", "Naïve — 東京 🙂", "", " a "]


def metadata_of(folder: Path, rows: int | None = None, notes: list[str] | None = None) -> dict[str, Any]:
    """The metadata that a folder's tokenizer gives, with their arrays as they are read."""
    tokenizer = Tokenizer.load(folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    rows = tokenizer.vocabulary_size if rows is None else rows
    written = tokenizer_metadata(content, tokenizer, rows, [] if notes is None else notes)
    numbers = {key: value for key, value in written.items() if isinstance(value, list) and not isinstance([*value, ""][0], str)}
    return {**written, **{key: np.array(value) for key, value in numbers.items()}}


@pytest.fixture
def made(texts: list[str], tmp_path: Path) -> Callable[..., Path]:
    """The folder of a tokenizer as others make it, its tokenizer.json changed by a function."""

    def make(maker: str, change: Callable[[dict[str, Any]], object] = lambda content: None) -> Path:
        MAKERS[maker](texts, tmp_path / maker)
        path = tmp_path / maker / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")
        return tmp_path / maker

    return make


def assert_same(found: Tokenizer, expected: Tokenizer, texts: list[str]) -> None:
    for text in texts:
        assert found.encode(text) == expected.encode(text)
        assert found.encode_whole(text) == expected.encode_whole(text)
        assert found.decode(found.encode(text)) == expected.decode(expected.encode(text))
    assert found.special_ids == expected.special_ids
    assert (found.prefix, found.suffix, found.end_ids) == (expected.prefix, expected.suffix, expected.end_ids)


@pytest.mark.parametrize("maker", ["gpt2", "llama3", "chatml", "bert"])
def test_a_tokenizer_comes_back(made: Callable[..., Path], texts: list[str], maker: str) -> None:
    folder = made(maker, lambda content: content["model"].update(ignore_merges=maker == "llama3"))
    tokenizer = Tokenizer.load(folder)
    found = read_tokenizer(metadata_of(folder))
    assert_same(found, tokenizer, [*TEXTS, *texts[:3]])
    named = tokenizer.special.named()
    assert {part: found.special.named().get(part) for part in named} == named


@pytest.mark.parametrize("kind", ["bpe", "byte"])
def test_a_tokenizer_of_ours_comes_back(texts: list[str], tmp_path: Path, kind: str) -> None:
    tokenizer = train_tokenizer(TokenizerSettings(kind=kind, vocabulary_size=400), texts)
    tokenizer.save(tmp_path)
    assert_same(read_tokenizer(metadata_of(tmp_path)), tokenizer, [*TEXTS, *texts[:3]])


def test_rows_that_no_token_uses_are_filled_up_and_left_out_again(made: Callable[..., Path]) -> None:
    folder = made("gpt2")
    metadata = metadata_of(folder, rows=600)
    assert len(metadata["tokenizer.ggml.tokens"]) == 600 and metadata["tokenizer.ggml.token_type"][-1] == 5
    assert read_tokenizer(metadata).vocabulary_size == Tokenizer.load(folder).vocabulary_size
    with pytest.raises(ModelError, match="only 300 rows; they don't belong together"):
        metadata_of(folder, rows=300)


def test_sentencepiece_merges_by_score(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(SENTENCEPIECE)

    def pieces(text: str) -> list[str]:
        return [SENTENCEPIECE["tokenizer.ggml.tokens"][id] for id in tokenizer.encode_whole(text)]

    assert pieces("the can") == ["<s>", "▁the", "▁ca", "n"]  # ca has a higher score than an
    assert pieces("thé") == ["<s>", "▁", "th", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.encode("the can é")) == "the can é"
    tokenizer.save(tmp_path)
    again = read_tokenizer(metadata_of(tmp_path))
    assert_same(again, tokenizer, ["the can", "thé", "", "  the", *TEXTS])


@pytest.mark.parametrize("name", SPLITTINGS)
def test_a_way_to_cut_has_the_name_that_it_was_made_by(name: str) -> None:
    splitter, whole_words = splitting_of(name)
    steps = json.loads(splitter.__getstate__())
    content = {"pre_tokenizer": steps, "model": {"merges": [["a", "b"]], "ignore_merges": whole_words}}
    assert name_of(content) == name
    assert all(splitting_of(alias)[1] == whole_words for alias, known in ALIASES.items() if known == name)


def change_token(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["added_tokens"][0].update(values)


@pytest.mark.parametrize(
    ("maker", "change", "message"),
    [
        ("llama2", None, "the order of its tokenizer's merges can't be told by one score for each token"),
        ("gpt2", change_token(lstrip=True), "takes in the space around it"),
        ("gpt2", lambda c: c["model"].update(ignore_merges=True), "for which llama.cpp has no name, so that it would find"),
        ("gpt2", lambda c: c.update(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": False}), "cuts text by nothing, for which llama.cpp has no name"),
        ("chatml", lambda c: c.update(normalizer={"type": "NFKC"}), "changes text by NFKC first, which llama.cpp doesn't"),
        ("bert", lambda c: c["normalizer"].update(lowercase=False), "keeps upper case or accents"),
        ("bert", lambda c: c.update(pre_tokenizer={"type": "Whitespace"}), "cuts text otherwise than BERT's"),
        ("bert", lambda c: c.update(post_processor=None), r"stand between the tokens \[\] and \[\]"),
    ],
)  # fmt: skip
def test_what_llama_cpp_would_cut_otherwise_is_refused(
    made: Callable[..., Path], maker: str, change: Callable[[dict[str, Any]], object] | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        metadata_of(made(maker, change or (lambda content: None)))


def test_a_kind_that_llama_cpp_does_not_have_is_refused(texts: list[str], tmp_path: Path) -> None:
    train_tokenizer(TokenizerSettings(kind="character", vocabulary_size=100), texts[:5]).save(tmp_path)
    with pytest.raises(ModelError, match=r"its tokenizer is a WordLevel that llama\.cpp has no kind for; byte-level BPE, "):
        metadata_of(tmp_path)


def test_a_normaliser_that_seldom_matters_is_noted(made: Callable[..., Path]) -> None:
    notes: list[str] = []
    metadata_of(made("chatml", lambda content: content.update(normalizer={"type": "NFC"})), notes=notes)
    assert len(notes) == 1 and "decomposed text gets other tokens there" in notes[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokenizer.ggml.model": "t5"}, "tokenizer.ggml.model is 't5'; gpt2, llama and bert are read"),
        ({"tokenizer.ggml.tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, r"token_type has 276 entries, tokenizer.ggml.tokens 2"),
        ({"tokenizer.ggml.scores": None}, "tokenizer.ggml.scores is missing"),
        ({"tokenizer.ggml.tokens": ["x" * 10_000, *SENTENCEPIECE["tokenizer.ggml.tokens"][1:]],
            "tokenizer.ggml.token_type": np.ones(276, int)}, "has 10,000 characters; 64 are the most"),
        ({"tokenizer.ggml.bos_token_id": 276}, "bos_token_id is 276; the tokens have the numbers 0 to 275"),
        ({"tokenizer.ggml.bos_token_id": None, "tokenizer.ggml.add_bos_token": True}, "add_bos_token is True, and the file"),
        ({"tokenizer.ggml.model": "bert"}, "is no vocabulary of the kind 'bert'"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": ["t h", "x y"]}, "merges names 'x', which is no token"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": ["t h e"]}, "no list of two tokens each"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "(a+)+$"}, r"a way to cut text that isn't known here; known"),
    ],
)  # fmt: skip
def test_inconsistent_metadata_are_refused(values: dict[str, Any], message: str) -> None:
    changed = {key: value for key, value in {**SENTENCEPIECE, **values}.items() if value is not None}
    with pytest.raises(ModelError, match=message):
        read_tokenizer(changed)
