"""Whatever a model makes on its way is made where its weights are: seen on torch's device without memory, which refuses to be
mixed with the CPU as a GPU does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from textmill.inference.decode_graphs import FixedStep
from textmill.models.decoder import Decoder
from textmill.models.loss import LossTerms
from textmill.models.packed import PackedState

META = torch.device("meta")
DIALECTS: dict[str, dict[str, Any]] = {
    "rotary": {},
    "windows": {"windows": (0, 8, 8)},
    "alibi": {"positions": "alibi"},
    "learned": {"positions": "learned", "norm": "layer", "gated": False, "activation": "gelu"},
    "sinusoidal": {"positions": "sinusoidal"},
}


def on_meta(make_decoder: Callable[..., Decoder], dialect: str) -> Decoder:
    return make_decoder(**DIALECTS[dialect]).to(META)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_training_step(
    make_decoder: Callable[..., Decoder], dialect: str, packed: bool, eager: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # which isn't to be asked of this device
    model = on_meta(make_decoder, dialect).train()
    model.set_eager_attention(eager)
    tokens = torch.zeros(2, 16, dtype=torch.int64, device=META)
    documents = {"segments": torch.zeros_like(tokens).int(), "positions": tokens} if packed else {}
    loss, nats = model(tokens, tokens, terms=LossTerms(0.1, 1e-4), **documents)
    loss.backward()
    assert loss.device == nats.device == META and all(p.grad.device == META for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("dialect", DIALECTS)
@torch.inference_mode()
def test_reading_and_writing(make_decoder: Callable[..., Decoder], dialect: str) -> None:
    model = on_meta(make_decoder, dialect).eval()
    one, many = (torch.zeros(1, length, dtype=torch.int64, device=META) for length in (1, 5))
    state = model.new_state(1)
    model.hidden(many, state=state)
    assert model.hidden(one, state=state).device == META
    padded = torch.tensor([2, 0]).to(META)
    assert model.hidden(torch.cat([many, many]), padding=padded).device == META
    slots = model.new_slots(3, 32)
    assert model.hidden(torch.cat([one, one]), state=slots.view(0, [4, 7])).device == META
    packed = PackedState(slots, [(0, [4, 7], 1), (2, [0], 5)])
    assert model.hidden(torch.zeros(1, 7, dtype=torch.int64, device=META), state=packed).device == META
    step = FixedStep(model, slots, 2, reach=16)
    step.place([1, 2], [4, 7])
    assert step.run().device == META
