"""Both stock classes of encoders give our logits and hidden states, in both directions, and every tensor's bits come back."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from textmill.errors import ModelError
from textmill.formats.layouts import layout_for
from textmill.formats.model_folder import load_model_folder, save_model_folder
from textmill.models.encoder import Encoder
from textmill.models.settings import PRESETS, ModelSettings
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import MASK, PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
BIASES = dict.fromkeys(
    ["norm_bias", "query_key_value_bias", "attention_output_bias", "feed_forward_bias", "masked_head_bias"], True
)
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {}),
    "bert, untied, three types": ("bert", {"tied_embeddings": False, "token_types": 3, "activation": "relu"}),
    "bert, body": ("bert", {"masked_head": False, "pooler": True, "norm_epsilon": 1e-6}),
    "modernbert": ("modernbert", {}),
    "modernbert, biases, untied": ("modernbert", {**BIASES, "tied_embeddings": False, "windows": (6, 0, 6)}),
    "modernbert, body": ("modernbert", {"masked_head": False, "windows": (), "local_rope_theta": 500.0}),
}


@pytest.fixture(scope="module")
def masking_tokenizer(texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(vocabulary_size=512), texts, special=(PAD, MASK))


@pytest.fixture(params=SHAPES)
def pair(request: pytest.FixtureRequest, make_encoder, masking_tokenizer, tmp_path: Path) -> tuple[Encoder, Any]:
    """Our model, and what transformers makes of the folder that we write."""
    model_type, changes = SHAPES[request.param]
    ours = make_encoder(model_type, **changes)
    save_model_folder(tmp_path / "ours", ours, masking_tokenizer, {})
    loads = transformers.AutoModelForMaskedLM if ours.head is not None else transformers.AutoModel
    theirs, report = loads.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert theirs.config.model_type == model_type and theirs.config.architectures == [type(theirs).__name__]
    assert not any(report.values()), report
    return ours, theirs.eval()


@torch.no_grad()
def test_transformers_gives_the_same_whole_and_padded(pair: tuple[Encoder, Any]) -> None:
    ours, theirs = pair
    whole = torch.randint(8, 512, (3, ours.config.context_length), generator=torch.Generator().manual_seed(1))
    for inputs, lengths in ((whole, torch.tensor([64, 64, 64])), (whole[:, :21], torch.tensor([21, 1, 13]))):
        mask = torch.arange(inputs.size(1)) < lengths[:, None]
        more, stock = {}, {}
        if ours.config.token_types:
            more["token_types"] = stock["token_type_ids"] = (torch.arange(inputs.size(1)) > 5).long().expand_as(inputs)
        found = theirs(inputs, attention_mask=mask.long(), **stock)
        expected = found.last_hidden_state if ours.head is None else found.logits
        torch.testing.assert_close(ours(inputs, lengths=lengths, **more)[mask], expected[mask], **TOLERANCE)
        if ours.pooler is not None:
            hidden = ours.hidden(inputs, lengths=lengths, **more)
            torch.testing.assert_close(torch.tanh(ours.pooler(hidden[:, 0])), found.pooler_output, **TOLERANCE)


@torch.no_grad()
def test_what_transformers_writes_is_read_and_no_bit_changes(pair: tuple[Encoder, Any], masking_tokenizer, tmp_path) -> None:
    ours, theirs = pair
    theirs.save_pretrained(tmp_path / "theirs")
    masking_tokenizer.save(tmp_path / "theirs")
    read = load_model_folder(tmp_path / "theirs")
    assert read.model.config == ours.config
    for name, tensor in ours.state_dict().items():
        assert torch.equal(read.model.state_dict()[name], tensor), name


def test_the_loss_is_of_masked_tokens_alone_and_is_transformers_own(make_encoder, masking_tokenizer, tmp_path: Path) -> None:
    ours = make_encoder("bert")
    save_model_folder(tmp_path / "ours", ours, masking_tokenizer, {})
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "ours").eval()
    inputs = torch.randint(8, 512, (2, 30), generator=torch.Generator().manual_seed(2))
    targets = torch.where(torch.arange(30) % 7 == 3, inputs, -100)
    ours(inputs, targets).backward()
    (theirs(inputs, labels=targets).loss * (targets != -100).sum()).backward()
    for name, gradient in ((n, p.grad) for n, p in theirs.named_parameters()):
        if name.endswith("word_embeddings.weight"):
            torch.testing.assert_close(ours.embedding.weight.grad, gradient, **TOLERANCE)
        if name == "cls.predictions.bias":
            torch.testing.assert_close(ours.head.output.bias.grad, gradient, **TOLERANCE)


def test_the_pre_training_of_both_heads_is_read(make_encoder, masking_tokenizer, tmp_path: Path) -> None:
    """bert-base-uncased is a BertForPreTraining: its pooler and its next-sentence head are passed over."""
    ours = make_encoder("bert")
    save_model_folder(tmp_path / "ours", ours, masking_tokenizer, {})
    config = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    theirs = transformers.BertForPreTraining(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    masking_tokenizer.save(tmp_path / "theirs")
    inputs = torch.arange(8, 28)[None]
    with torch.no_grad():
        logits = load_model_folder(tmp_path / "theirs").model(inputs)
        torch.testing.assert_close(logits, theirs(inputs).prediction_logits, **TOLERANCE)


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "modernbert", "marian", "mbart"])
def test_every_preset_has_its_class(architecture: str) -> None:
    for preset in PRESETS:
        assert layout_for(ModelSettings(architecture=architecture, preset=preset).config(1000)).model_type == architecture


def test_shapes_without_a_class_are_told_why(make_encoder) -> None:
    for changes, reason in (
        ({"key_value_heads": 2}, "it has 2 heads of keys and values, and bert has one for each"),
        ({"head_dim": 16}, "4 heads of 16 aren't as wide as the model"),
        ({"post_norm": False}, "post_norm is false, and bert has true"),
    ):
        with pytest.raises(ModelError, match=reason):
            layout_for(make_encoder("bert", **changes).config)
