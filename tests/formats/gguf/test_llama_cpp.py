"""What save_gguf writes, llama.cpp loads: the same next tokens as transformers from the same weights, and the same tokens of a
text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from textmill.formats.gguf import save_gguf
from textmill.formats.gguf.tokenizer import read_tokenizer
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

from ...tokens.foreign import MAKERS
from .conftest import MODELS, SENTENCEPIECE
from .llama_cpp import LlamaCpp

# Nats over the 50 likeliest tokens. llama.cpp looks GELU up in a table of float16.
LARGEST_DIVERGENCE = {"gpt2": 1e-4}
LARGEST_DIVERGENCE_ELSEWHERE = 1e-6
TEXTS = [
    "The quick brown fox can't jump; it's 12345 metres, isn't it?\n\n  Two  spaces\tand a tab.",
    "Übergroße Naïveté — 東京の天気 🙂 e\u0301",
    "",
    " leading and trailing ",
]


@pytest.mark.parametrize("name", MODELS)
def test_the_next_tokens_are_as_likely(
    make_folder: Callable[[str], tuple[Path, Any]], tokenizer: Tokenizer, texts: list[str], tmp_path: Path, name: str
) -> None:
    folder, model = make_folder(name)
    assert save_gguf(tmp_path / "model.gguf", folder, "F32") == []
    peer = LlamaCpp(tmp_path / "model.gguf")
    ids = tokenizer.encode(texts[3])
    compared = []
    for length in range(3, 120, 7):
        with torch.no_grad():
            expected = model(torch.tensor([ids[:length]])).logits[0, -1].double().log_softmax(-1)
        first = int(expected.argmax())
        if first == tokenizer.eos_id or "\ufffd" in tokenizer.decode([first]):
            continue  # of which llama.cpp shows no probabilities
        likeliest, found = peer.top(ids[:length])
        assert set(likeliest.tolist()) == set(expected.topk(50).indices.tolist())
        expected = expected[likeliest]
        divergence = (expected.exp() * (expected - found)).sum().abs()
        assert divergence < LARGEST_DIVERGENCE.get(name, LARGEST_DIVERGENCE_ELSEWHERE)
        compared.append(length)
    assert len(compared) >= 3 and max(compared) > 64


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_every_type_is_loaded(
    make_folder: Callable[[str], tuple[Path, Any]], tokenizer: Tokenizer, texts: list[str], tmp_path: Path, kind: str
) -> None:
    save_gguf(tmp_path / "model.gguf", make_folder("qwen3")[0], kind)
    likeliest, logarithms = LlamaCpp(tmp_path / "model.gguf").top(tokenizer.encode(texts[3])[:40])
    assert len(set(likeliest.tolist())) == 50 and torch.isfinite(logarithms).all()


@pytest.fixture
def assert_same_tokens(
    make_folder: Callable[[str], tuple[Path, Any]], texts: list[str], tmp_path: Path
) -> Callable[[Tokenizer, Path], None]:
    """Compares a tokenizer, whose files lie in a folder, with what llama.cpp makes of the texts above and of some prose."""

    def compare(tokenizer: Tokenizer, folder: Path) -> None:
        for path in make_folder("llama")[0].glob("[cm]*"):  # config.json, model.safetensors
            (folder / path.name).write_bytes(path.read_bytes())
        save_gguf(tmp_path / "model.gguf", folder, "F32")
        peer = LlamaCpp(tmp_path / "model.gguf")
        for text in [*TEXTS, *texts[:3]]:
            assert peer.tokens(text) == tokenizer.encode(text)
            assert peer.tokens(text, whole=True) == tokenizer.encode_whole(text)

    return compare


@pytest.mark.parametrize("kind", ["bpe", "byte"])
def test_a_text_has_the_tokens_that_it_had_in_training(
    assert_same_tokens: Callable[[Tokenizer, Path], None], texts: list[str], tmp_path: Path, kind: str
) -> None:
    tokenizer = train_tokenizer(TokenizerSettings(kind=kind, vocabulary_size=500), texts)
    tokenizer.save(tmp_path)
    assert_same_tokens(tokenizer, tmp_path)


@pytest.mark.parametrize("maker", ["gpt2", "llama3", "chatml"])
def test_tokenizers_from_elsewhere_are_the_same_there(
    assert_same_tokens: Callable[[Tokenizer, Path], None], texts: list[str], tmp_path: Path, maker: str
) -> None:
    MAKERS[maker](texts, tmp_path / "model")
    assert_same_tokens(Tokenizer.load(tmp_path / "model"), tmp_path / "model")


def test_sentencepiece_is_the_same_there(assert_same_tokens: Callable[[Tokenizer, Path], None], tmp_path: Path) -> None:
    tokenizer = read_tokenizer(SENTENCEPIECE)
    tokenizer.save(tmp_path)
    assert_same_tokens(tokenizer, tmp_path)
