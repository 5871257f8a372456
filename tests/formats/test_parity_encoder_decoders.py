"""Both stock classes of encoder–decoders give our logits, in both directions, and every tensor's bits come back."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from textmill.errors import ModelError
from textmill.formats.layouts import layout_for, read_stock_config
from textmill.formats.model_folder import load_model_folder, save_model_folder
from textmill.models.encoder_decoder import EncoderDecoder
from textmill.tokens.tokenizer import Tokenizer

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
LENGTHS = torch.tensor([17, 5, 11])
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "marian": ("marian", {}),
    "marian, swish, unscaled": ("marian", {"activation": "silu", "embedding_scale": False, "decoder_layers": None}),
    "mbart": ("mbart", {}),
    "mbart, unscaled": ("mbart", {"activation": "relu", "embedding_scale": False, "decoder_layers": 4}),
}


@pytest.fixture(params=SHAPES)
def pair(request: pytest.FixtureRequest, make_encoder_decoder, tokenizer: Tokenizer, tmp_path: Path) -> tuple[Any, Any]:
    """Our model, and what transformers makes of the folder that we write."""
    architecture, changes = SHAPES[request.param]
    ours = make_encoder_decoder(architecture, **changes)
    save_model_folder(tmp_path / "ours", ours, tokenizer, {})
    theirs, report = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert theirs.config.model_type == architecture
    assert not any(report.values()), report
    return ours, theirs.eval()


def ids(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(1, 512, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_transformers_gives_the_same_logits_whole_padded_and_cached(pair: tuple[EncoderDecoder, Any]) -> None:
    ours, theirs = pair
    longest = ours.config.context_length
    source, inputs = ids(2, longest), ids(2, longest, seed=2)
    expected = theirs(input_ids=source, decoder_input_ids=inputs).logits
    torch.testing.assert_close(ours(inputs, source=source), expected, **TOLERANCE)
    source, inputs = ids(3, 17), ids(3, 20, seed=2)
    mask = (torch.arange(17) < LENGTHS[:, None]).long()
    state, cache, encoded = ours.encode(source, LENGTHS), None, theirs.get_encoder()(source, attention_mask=mask)
    for piece in inputs.split([13, 1, 6], dim=1):
        found = theirs(
            encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=piece, past_key_values=cache, use_cache=True
        )
        cache = found.past_key_values
        torch.testing.assert_close(ours(piece, state=state), found.logits, **TOLERANCE)


@torch.no_grad()
def test_the_decoder_starts_as_the_class_does_in_training(pair: tuple[EncoderDecoder, Any]) -> None:
    ours, theirs = pair
    source, labels = ids(3, 17), ids(3, 9, seed=2)
    start = ours.config.start_id(theirs.config.pad_token_id)
    first = labels[:, -1:] if start is None else torch.full((3, 1), start)
    nats = ours.token_nats(torch.cat([first, labels[:, :-1]], dim=1), labels, source)
    torch.testing.assert_close(nats.mean(), theirs(input_ids=source, labels=labels).loss, **TOLERANCE)


def test_what_transformers_writes_is_read_and_no_bit_changes(
    pair: tuple[EncoderDecoder, Any], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    ours, theirs = pair
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")
    read = load_model_folder(tmp_path / "theirs")
    assert read.model.config == ours.config
    for name, tensor in ours.state_dict().items():
        assert torch.equal(read.model.state_dict()[name], tensor), name
    save_model_folder(tmp_path / "again", read.model, tokenizer, {})
    first, again = (safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("ours", "again"))
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)


def test_an_older_marian_brings_its_own_sines_and_may_lack_a_bias(
    make_encoder_decoder, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_model_folder(tmp_path / "old", make_encoder_decoder("marian"), tokenizer, {})
    (tmp_path / "old" / "textmill.json").unlink()
    weights = safetensors.torch.load_file(tmp_path / "old" / "model.safetensors")
    name = "model.encoder.embed_positions.weight"
    stock = transformers.MarianMTModel(transformers.AutoConfig.from_pretrained(tmp_path / "old"))
    assert torch.equal(weights[name], stock.state_dict()[name])
    del weights["final_logits_bias"], weights["model.decoder.embed_positions.weight"]
    weights[name] = torch.nextafter(weights[name], torch.tensor(2.0))  # as another library rounds
    for copy in ("lm_head", "model.encoder.embed_tokens", "model.decoder.embed_tokens"):
        weights[f"{copy}.weight"] = weights["model.shared.weight"].clone()
    safetensors.torch.save_file(weights, tmp_path / "old" / "model.safetensors")
    read = load_model_folder(tmp_path / "old").model.state_dict()
    assert torch.equal(read["encoder.sinusoids.table"], weights[name]) and not read["head.bias"].any()


def test_what_a_class_cannot_hold_is_told(make_encoder_decoder) -> None:
    with pytest.raises(ModelError, match=r"\(marian: norm_epsilon is 1e-06, and marian has 1e-05, it has 2 heads") as error:
        layout_for(make_encoder_decoder("marian", key_value_heads=2, norm_epsilon=1e-6).config)
    assert "mbart" not in str(error.value)  # which is further from it
    sizes = {"vocab_size": 512, "d_model": 48, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
    stock = {**sizes, "encoder_ffn_dim": 96, "decoder_ffn_dim": 64, "max_position_embeddings": 64, "pad_token_id": 0}
    with pytest.raises(ModelError) as error:
        read_stock_config({**stock, "model_type": "marian", "decoder_start_token_id": 3, "decoder_vocab_size": 99}, "here")
    assert len(error.value.problems) == 3
