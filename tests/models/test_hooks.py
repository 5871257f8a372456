"""What passes through a model can be read and edited at the same named places in every family."""

import pytest
import torch

from textmill.errors import ModelError
from textmill.models.hooks import hook_points, hooked, recorded

INPUTS = torch.arange(12)[None]
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def test_places_have_the_shapes_that_their_names_promise(make_decoder) -> None:
    model = make_decoder()
    assert [name for name in hook_points(model) if not name.startswith(("blocks.1", "blocks.2"))] == [
        "embeddings",
        "blocks.0.attention_pattern",
        "blocks.0.attention_output",
        "blocks.0.feed_forward_output",
        "blocks.0.residual",
        "hidden",
    ]
    with recorded(model, hook_points(model)) as found:
        logits = model(INPUTS)
    assert found["blocks.2.attention_pattern"].shape == (1, 4, 12, 12)
    residual = found["embeddings"]
    for layer in range(3):
        parts = found[f"blocks.{layer}.attention_output"], found[f"blocks.{layer}.feed_forward_output"]
        residual = residual + sum(parts)
        torch.testing.assert_close(found[f"blocks.{layer}.residual"], residual, **TOLERANCE)
    torch.testing.assert_close(model.head(found["hidden"]), logits, **TOLERANCE)


def test_an_edit_passes_on_and_ends_with_the_context(make_decoder) -> None:
    model, other = make_decoder(), torch.randint(0, 512, (1, 12))
    plain = model(INPUTS)
    with recorded(model, ["blocks.1.residual"]) as found:
        expected = model(other)
    with hooked(model, {"blocks.1.residual": lambda tensor: found["blocks.1.residual"]}):
        torch.testing.assert_close(model(INPUTS), expected, **TOLERANCE)
    with hooked(model, {"blocks.0.attention_pattern": torch.zeros_like}):
        ablated = model(INPUTS)
    assert not torch.allclose(ablated, plain, atol=1e-3)
    assert torch.equal(model(INPUTS), plain)


@pytest.mark.parametrize("family", ["encoder", "recurrent", "encoder-decoder"])
def test_every_family_s_residual_stream_can_be_edited(family: str, make_encoder, make_recurrent, make_encoder_decoder) -> None:
    makers = {
        "encoder": lambda: make_encoder("bert"),
        "recurrent": make_recurrent,
        "encoder-decoder": lambda: make_encoder_decoder("marian"),
    }
    model = makers[family]()
    place = "decoder.blocks.0.residual" if family == "encoder-decoder" else "blocks.0.residual"
    more = {"source": INPUTS[:, :5]} if family == "encoder-decoder" else {}
    plain = model(INPUTS, **more)
    with hooked(model, {place: lambda tensor: None}):
        assert torch.equal(model(INPUTS, **more), plain)
    with hooked(model, {place: lambda tensor: tensor.flip(1)}):
        assert not torch.allclose(model(INPUTS, **more), plain, atol=1e-3)
    assert torch.equal(model(INPUTS, **more), plain)


def test_unknown_places_are_named(make_decoder) -> None:
    with pytest.raises(ModelError) as error, recorded(make_decoder(), ["block.0.residual"]):
        pass
    assert "did you mean 'blocks.0.residual'" in str(error.value)
