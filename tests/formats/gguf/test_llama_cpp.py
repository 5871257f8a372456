"""What save_gguf writes, llama.cpp loads: the same next tokens as transformers from the same weights, and the same tokens of a
text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import models, pre_tokenizers, trainers

from textmill.formats.gguf import load_gguf, save_gguf
from textmill.formats.gguf.reader import read_gguf
from textmill.formats.gguf.splitting import SPLITTINGS
from textmill.formats.gguf.tokenizer import read_tokenizer
from textmill.formats.gguf.writer import write_gguf
from textmill.models.architectures import build
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


def divergence(expected: torch.Tensor, found: torch.Tensor) -> float:
    """The Kullback-Leibler divergence over some tokens, given the logarithms of their probabilities."""
    expected, found = expected.log_softmax(-1), found.log_softmax(-1)  # among these tokens
    return float((expected.exp() * (expected - found)).sum())


NEARLY_AS_LIKELY = 0.01  # nats: of two tokens so near at the fiftieth place either may be the one that is told


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
        if (answer := peer.top(ids[:length])) is None:
            continue
        likeliest, found = answer
        with torch.no_grad():
            expected = model(torch.tensor([ids[:length]])).logits[0, -1].double().log_softmax(-1)
        assert expected[likeliest].min() > expected.topk(50).values[-1] - NEARLY_AS_LIKELY
        assert divergence(expected[likeliest], found) < LARGEST_DIVERGENCE.get(name, LARGEST_DIVERGENCE_ELSEWHERE)
        compared.append(length)
    assert len(compared) >= 3 and max(compared) > 64


# llama.cpp rounds what it multiplies a matrix by as the matrix is: to float16, to bfloat16, or to eight bits.
LARGEST_DIVERGENCE_OF = {"F16": 1e-3, "BF16": 5e-3, "Q8_0": 0.01, "Q4_0": 0.01}


@pytest.mark.parametrize("kind", LARGEST_DIVERGENCE_OF)
def test_every_type_is_read_there_as_here(
    make_folder: Callable[[str], tuple[Path, Any]], tokenizer: Tokenizer, texts: list[str], tmp_path: Path, kind: str
) -> None:
    save_gguf(tmp_path / "model.gguf", make_folder("qwen3")[0], kind)
    loaded = load_gguf(tmp_path / "model.gguf")
    model = build(loaded.config).eval()
    model.load_state_dict(dict(loaded.tensors))
    peer, ids = LlamaCpp(tmp_path / "model.gguf"), tokenizer.encode(texts[3])
    compared = 0
    for length in range(3, 120, 7):
        if (answer := peer.top(ids[:length])) is not None:
            with torch.no_grad():
                expected = model(torch.tensor([ids[:length]]))[0, -1].double().log_softmax(-1)
            assert divergence(expected[answer[0]], answer[1]) < LARGEST_DIVERGENCE_OF[kind]
            compared += 1
    assert compared


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


CUT_VARIOUSLY = "x==1234567 && $5+3^2|~a...b IT'S it's don't 12 345 a  b\n\n\tc ₂½ é東京 "


@pytest.fixture(scope="module")
def greedy() -> dict[str, Any]:
    """A vocabulary whose merges reach across everything, so that only the way to cut keeps them from it."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=512, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    parts = CUT_VARIOUSLY.split(" ")
    backend.train_from_iterator([CUT_VARIOUSLY, *(" ".join(parts[n:]) for n in range(len(parts)))] * 3, trainer)
    model = json.loads(backend.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    fillers = [f"[PAD{number}]" for number in range(len(tokens), 512)]
    return {
        "tokenizer.ggml.tokens": tokens + fillers,
        "tokenizer.ggml.token_type": [1] * len(tokens) + [5] * len(fillers),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
    }


@pytest.mark.parametrize("name", ["", *SPLITTINGS])
def test_every_named_way_to_cut_is_the_one_there(
    make_folder: Callable[[str], tuple[Path, Any]], greedy: dict[str, Any], texts: list[str], tmp_path: Path, name: str
) -> None:
    """The same merges behind each of the names, and behind none."""
    save_gguf(tmp_path / "model.gguf", make_folder("llama")[0], "F16")
    file = read_gguf(tmp_path / "model.gguf")
    values = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in file.metadata.items()}
    values |= {**greedy, "tokenizer.ggml.pre": name}
    if not name:
        del values["tokenizer.ggml.pre"]
    stored = {place.name: (place.kind, place.shape) for place in file.places.values()}
    write_gguf(tmp_path / "named.gguf", values, stored, file.tensor)
    tokenizer, peer = load_gguf(tmp_path / "named.gguf").tokenizer, LlamaCpp(tmp_path / "named.gguf")
    for text in [*TEXTS, CUT_VARIOUSLY, CUT_VARIOUSLY * 2, *texts[:3]]:
        assert peer.tokens(text) == tokenizer.encode(text)
