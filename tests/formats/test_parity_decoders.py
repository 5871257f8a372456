"""Every stock class of decoders gives our logits, in both directions, and every tensor's bits come back."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from textmill.errors import ModelError
from textmill.formats.layouts import layout_for
from textmill.formats.model_folder import load_model_folder, save_model_folder
from textmill.models.config import RopeScaling
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.tokens.tokenizer import Tokenizer

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
BIASES = {"query_key_value_bias": True, "attention_output_bias": True}
LLAMA = {"query_key_norm": False}
QWEN2 = {"query_key_norm": False, "query_key_value_bias": True}
GPT2 = {
    "positions": "learned",
    "norm": "layer",
    "norm_bias": True,
    "query_key_norm": False,
    **BIASES,
    "activation": "gelu_tanh",
    "gated": False,
    "feed_forward_bias": True,
    "key_value_heads": 4,
    "head_dim": 12,
}
MPT = {
    "positions": "alibi",
    "norm": "layer",
    "query_key_norm": False,
    "activation": "gelu",
    "gated": False,
    "feed_forward_width": 192,
}
STARCODER2 = {**GPT2, "positions": "rotary", "key_value_heads": 2}
YARN = RopeScaling("yarn", 4.0, 16)
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {**GPT2, "tied_embeddings": True}),
    "gpt2, untied, relu": ("gpt2", {**GPT2, "activation": "relu", "norm_epsilon": 1e-3}),
    "llama": ("llama", LLAMA),
    "llama, biases, tied": ("llama", {**LLAMA, **BIASES, "feed_forward_bias": True, "tied_embeddings": True}),
    "llama, linear rope": ("llama", {**LLAMA, "rope_scaling": RopeScaling("linear", 4.0), "head_dim": 24}),
    "llama, llama3 rope": ("llama", {**LLAMA, "rope_scaling": RopeScaling("llama3", 8.0, 32, 1.0, 4.0), "rope_theta": 500.0}),
    "llama, yarn": ("llama", {**LLAMA, "rope_scaling": YARN, "activation": "gelu"}),
    "mistral": ("mistral", {**LLAMA, "windows": (5, 5, 5)}),
    "mistral, no window": ("mistral", LLAMA),
    "qwen2": ("qwen2", {**QWEN2, "tied_embeddings": True}),
    "qwen2, windows": ("qwen2", {**QWEN2, "windows": (0, 7, 7)}),
    "starcoder2": ("starcoder2", {**STARCODER2, "windows": (6, 6, 6), "tied_embeddings": True}),
    "starcoder2, untied": ("starcoder2", {**STARCODER2, "activation": "relu", "norm_epsilon": 1e-3, "rope_theta": 500.0}),
    "mpt": ("mpt", {**MPT, "heads": 4, "key_value_heads": 4, "head_dim": 12, "tied_embeddings": True}),
    "mpt, six heads": ("mpt", {**MPT, "heads": 6, "key_value_heads": 6, "head_dim": 8, "norm_epsilon": 1e-5}),
    "qwen3": ("qwen3", {}),
    "qwen3, biases, yarn": ("qwen3", {**BIASES, "rope_scaling": dataclasses.replace(YARN, attention_factor=1.3)}),
    "qwen3, windows": ("qwen3", {"windows": (9, 0, 9), "tied_embeddings": True}),
}


@pytest.fixture(params=SHAPES)
def pair(request: pytest.FixtureRequest, make_decoder, tokenizer: Tokenizer, tmp_path: Path) -> tuple[Decoder, Any]:
    """Our model, and what transformers makes of the folder that we write."""
    model_type, changes = SHAPES[request.param]
    ours = make_decoder(**changes)
    save_model_folder(tmp_path / "ours", ours, tokenizer, {}, architecture=model_type)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert theirs.config.model_type == model_type
    assert not any(report.values()), report
    return ours, theirs.eval()


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, 512, (rows, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_transformers_gives_the_same_logits_whole_padded_and_cached(pair: tuple[Decoder, Any]) -> None:
    ours, theirs = pair
    whole = ids(2, ours.config.context_length)
    torch.testing.assert_close(ours(whole), theirs(whole).logits, **TOLERANCE)
    padding = torch.tensor([6, 0])
    mask = (torch.arange(20) >= padding[:, None]).long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    state, pieces = ours.new_state(rows=2), whole[:, :20].split([13, 1, 6], dim=1)
    ours_cached = torch.cat([ours(pieces[0], state=state, padding=padding), *(ours(p, state=state) for p in pieces[1:])], dim=1)
    cache, theirs_cached, begin = None, [], 0
    for piece in pieces:
        end = begin + piece.size(1)
        found = theirs(
            piece, attention_mask=mask[:, :end], position_ids=positions[:, begin:end], past_key_values=cache, use_cache=True
        )
        cache, begin = found.past_key_values, end
        theirs_cached.append(found.logits)
    real = mask.bool()
    torch.testing.assert_close(ours_cached[real], torch.cat(theirs_cached, dim=1)[real], **TOLERANCE)


@torch.no_grad()
def test_what_transformers_writes_is_read_and_no_bit_changes(pair: tuple[Decoder, Any], tokenizer, tmp_path: Path) -> None:
    ours, theirs = pair
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")
    read = load_model_folder(tmp_path / "theirs")
    assert read.model.config == ours.config
    for name, tensor in ours.state_dict().items():
        assert torch.equal(read.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("name, shape", [("gpt2", GPT2), ("mpt", {**MPT, "heads": 4, "key_value_heads": 4, "head_dim": 12})])
def test_heads_that_a_class_has_as_wide_as_the_model_are_told(make_decoder, name: str, shape: dict[str, Any]) -> None:
    for changes, reason in (
        ({"key_value_heads": 2}, f"it has 2 heads of keys and values, and {name} has one for each query head"),
        ({"head_dim": 16}, r"4 heads of 16 aren't as wide as the model \(48\)"),
    ):
        with pytest.raises(ModelError, match=f"{name}: {reason}"):
            layout_for(make_decoder(**{**shape, **changes}).config)


def test_a_shape_without_a_class_is_told_why() -> None:
    config = DecoderConfig(512, 64, 3, 48, 4, 2, 16, 96, positions="alibi", windows=(1, 2, 3))
    with pytest.raises(ModelError, match=r"no stock class .*\(qwen3: positions is alibi, and qwen3 has rotary"):
        layout_for(config)
