"""The real chat model: its numbers as the `gguf` package reads them, its logits as transformers', its tokens as llama.cpp's."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers

from textmill.formats.gguf import LoadedGguf, load_gguf
from textmill.formats.gguf.reader import read_gguf
from textmill.formats.layouts import layout_for
from textmill.models.architectures import build
from textmill.models.language_model import LanguageModel

from .llama_cpp import LlamaCpp

PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nThe capital of"
LARGEST_DIVERGENCE = 0.02  # nats: llama.cpp rounds what it multiplies four-bit weights by to eight bits


@pytest.fixture(scope="module")
def path(real_sample: Callable[[str], Path]) -> Path:
    return real_sample("smollm2")


@pytest.fixture(scope="module")
def loaded(path: Path) -> LoadedGguf:
    return load_gguf(path)


@pytest.fixture(scope="module")
def model(loaded: LoadedGguf) -> LanguageModel:
    model = build(loaded.config)
    state = model.state_dict()
    for name, tensor in loaded.tensors.items():
        state[name].copy_(tensor)
    return model.eval()


@pytest.fixture(scope="module")
def ids(loaded: LoadedGguf) -> list[int]:
    """A conversation's beginning, its special tokens put in."""
    tokenizer, found = loaded.tokenizer, list[int]()
    for turn in PROMPT.split("<|im_start|>")[1:]:
        said, end, after = turn.partition("<|im_end|>")
        found += [tokenizer.bos_id, *tokenizer.encode(said)]
        found += [tokenizer.eos_id, *tokenizer.encode(after)] if end else []
    return found


def test_every_number_is_as_its_authors_read_it(path: Path) -> None:
    file, content = read_gguf(path), np.memmap(path, mode="r", dtype=np.uint8)
    assert len(file.places) == 272
    for place in file.places.values():
        if not place.name.startswith(("token_embd", "blk.0.", "blk.29.")):
            continue
        raw = content[place.start : place.start + place.size].reshape(-1, place.kind.block_bytes)[:20_000]
        numbers = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[place.kind.name]).reshape(-1)
        assert np.array_equal(file.tensor(place.name).view(-1)[: numbers.size].numpy(), numbers)


def test_its_logits_are_those_of_transformers(loaded: LoadedGguf, model: LanguageModel, ids: list[int]) -> None:
    layout = layout_for(loaded.config)
    config = layout.stock_config(loaded.config, loaded.tokenizer)
    stock = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config)).eval()
    read = layout.to_stock(model.state_dict(), loaded.config)
    stock.load_state_dict({name: read(name) for name in layout.stock_shapes(loaded.config)}, strict=False)
    stock.tie_weights()
    with torch.no_grad():
        expected = stock(torch.tensor([ids])).logits
        found = model(torch.tensor([ids]))
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert loaded.tokenizer.decode([int(found[0, -1].argmax())]) == " France"


def test_llama_cpp_finds_the_same_tokens(
    path: Path, loaded: LoadedGguf, model: LanguageModel, ids: list[int], texts: list[str]
) -> None:
    peer = LlamaCpp(path)
    for text in [*texts[:3], "Prices rose 12.5% in 2024.\n\n\tIt's  naïve: 東京 🙂", ""]:
        assert peer.tokens(text, whole=True) == loaded.tokenizer.encode_whole(text)
    answer = peer.top(ids)
    assert answer is not None
    likeliest, logarithms = answer
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0, -1].double().log_softmax(-1)[likeliest]
    assert (expected.exp() * (expected - logarithms)).sum().abs() < LARGEST_DIVERGENCE


def test_what_is_around_its_text(loaded: LoadedGguf) -> None:
    tokenizer = loaded.tokenizer
    assert [tokenizer.special.bos, tokenizer.special.eos, tokenizer.prefix] == ["<|im_start|>", "<|im_end|>", []]
    assert tokenizer.chat_template is not None
    assert "You are a helpful AI assistant named SmolLM" in tokenizer.chat_template.source
    assert loaded.config.layers == 30 and loaded.config.tied_embeddings
