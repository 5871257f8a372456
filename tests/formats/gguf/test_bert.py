"""BERT as a GGUF file and back, and the embeddings that llama.cpp makes with it: a tiny model's, and the real MiniLM's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from textmill.formats.gguf import load_gguf, save_gguf
from textmill.formats.opened_folder import open_model_folder
from textmill.tokens.tokenizer import Tokenizer

from ...tokens.foreign import MAKERS
from .llama_cpp import LlamaCpp

SENTENCES = ["A man is eating food.", "Übergroße Cafés — 東京 & 12.5% of O'Neill's!", "unaffable " * 20]
LARGEST_DIFFERENCE = 2e-3  # of embeddings of length 1: llama.cpp's GELU is the one by tanh, from a table of float16


def embedded(folder: Path, text: str) -> torch.Tensor:
    """The mean of the last hidden states, of length 1, as transformers has them."""
    ids = Tokenizer.load(folder).encode_whole(text)
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        mean = model(torch.tensor([ids])).last_hidden_state[0].mean(dim=0)
    return mean / mean.norm()


@pytest.fixture(scope="module")
def tiny(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert") / "tiny"
    MAKERS["bert"](texts, folder)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = transformers.BertConfig(**sizes, vocab_size=600, max_position_embeddings=256, initializer_range=0.2)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def test_the_body_comes_back_to_the_bit(tiny: Path, tmp_path: Path) -> None:
    notes = save_gguf(tmp_path / "model.gguf", tiny, "F32")
    assert notes == ["llama.cpp's bert is for embeddings: pooler is left out"]
    loaded, opened = load_gguf(tmp_path / "model.gguf"), open_model_folder(tiny)
    expected = dict(opened.layout.from_stock(opened.stock_tensors(), opened.config))
    assert loaded.tensors.keys() == {name for name in expected if not name.startswith("pooler.")}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.tensors.items())
    assert not loaded.config.pooler and not loaded.config.masked_head
    for text in SENTENCES:
        assert loaded.tokenizer.encode_whole(text) == Tokenizer.load(tiny).encode_whole(text)


@pytest.mark.parametrize(("told", "number"), [("mean_tokens", 1), ("cls_token", 2), ("max_tokens", None)])
def test_how_an_embedding_is_made_goes_along(tiny: Path, tmp_path: Path, told: str, number: int | None) -> None:
    shutil.copytree(tiny, tmp_path / "model")
    (tmp_path / "model" / "1_Pooling").mkdir()
    (tmp_path / "model" / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{told}": True}))
    notes = save_gguf(tmp_path / "model.gguf", tmp_path / "model")
    assert load_gguf(tmp_path / "model.gguf").metadata.get("bert.pooling_type") == number
    assert ("--pooling" in notes[-1]) == (number is None)


def assert_same_embeddings(folder: Path, path: Path) -> None:
    peer, tokenizer = LlamaCpp(path, embedding=True), Tokenizer.load(folder)
    for text in SENTENCES:
        assert peer.tokens(text, whole=True) == tokenizer.encode_whole(text)
        assert (peer.embedding(text) - embedded(folder, text)).abs().max() < LARGEST_DIFFERENCE


def test_llama_cpp_makes_the_same_embeddings(tiny: Path, tmp_path: Path) -> None:
    save_gguf(tmp_path / "model.gguf", tiny, "F32")
    assert_same_embeddings(tiny, tmp_path / "model.gguf")


def test_so_it_does_with_the_real_one(real_sample: Callable[[str], Path], tmp_path: Path) -> None:
    save_gguf(tmp_path / "model.gguf", real_sample("minilm"), "F16")
    assert_same_embeddings(real_sample("minilm"), tmp_path / "model.gguf")
