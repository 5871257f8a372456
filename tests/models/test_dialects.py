"""Every dialect of the decoder gives the same numbers cached and whole, padded and not, by both attention paths."""

import pytest
import torch

from textmill.errors import ModelError
from textmill.models.architectures import ARCHITECTURES
from textmill.models.config import RopeScaling
from textmill.models.count import activation_bytes, count
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.models.hooks import recorded
from textmill.models.rotary import rotary_frequencies
from textmill.models.state import KeyValueState

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
DIALECTS = {
    **{name: dict(each.differs) for name, each in ARCHITECTURES.items() if each.config is DecoderConfig},
    "alibi": {"positions": "alibi"},
    "sinusoidal": {"positions": "sinusoidal", "embedding_scale": True},
    "sliding window": {"windows": (5, 0, 9)},
    "two rotary bases": {"windows": (5, 0, 5), "local_rope_theta": 500.0},
    "linear rope": {"rope_scaling": RopeScaling("linear", 4.0)},
    "llama3 rope": {"rope_scaling": RopeScaling("llama3", 8.0, 32)},
    "yarn": {"rope_scaling": RopeScaling("yarn", 4.0, 16)},
    "post-norm": {"post_norm": True, "norm": "layer", "norm_bias": True, "embedding_norm": True},
}


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 512, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=DIALECTS)
def model(request: pytest.FixtureRequest, make_decoder) -> Decoder:
    return make_decoder(**DIALECTS[request.param])


def test_cached_is_uncached_and_eager_is_fused(model: Decoder) -> None:
    inputs = tokens(2, 40)
    whole = model(inputs)
    state = model.new_state(rows=2)
    cached = torch.cat([model(piece, state=state) for piece in inputs.split([7, 1, 1, 20, 11], dim=1)], dim=1)
    torch.testing.assert_close(cached, whole, **TOLERANCE)
    with recorded(model, ["blocks.1.attention_pattern"]) as found:
        torch.testing.assert_close(model(inputs), whole, **TOLERANCE)
    torch.testing.assert_close(found["blocks.1.attention_pattern"].sum(-1), torch.ones(2, 4, 40))


def test_no_token_sees_what_follows_it(model: Decoder) -> None:
    inputs, other = tokens(1, 20), tokens(1, 20, seed=1)
    other[:, :12] = inputs[:, :12]
    torch.testing.assert_close(model(inputs)[:, :12], model(other)[:, :12], **TOLERANCE)


def test_padding_at_the_left_changes_nothing(model: Decoder) -> None:
    texts = [tokens(1, length, seed=length) for length in (12, 5, 9)]
    padding = torch.tensor([12 - text.size(1) for text in texts])
    rows = torch.cat([torch.nn.functional.pad(text, (12 - text.size(1), 0)) for text in texts])
    state = model.new_state(rows=3)
    logits = model(rows, state=state, padding=padding)
    following = model(tokens(3, 2, seed=3), state=state)
    for row, text in enumerate(texts):
        torch.testing.assert_close(logits[row, padding[row] :], model(text)[0], **TOLERANCE)
        whole = torch.cat([text, tokens(3, 2, seed=3)[row : row + 1]], dim=1)
        torch.testing.assert_close(following[row], model(whole)[0, -2:], **TOLERANCE)


def test_rows_of_a_state_are_picked_and_merged(model: Decoder) -> None:
    texts = [tokens(2, 9), tokens(1, 14, seed=1)]
    states = []
    for text in texts:
        states.append(model.new_state(rows=len(text)))
        model(text, state=states[-1])
    merged = KeyValueState.merge([states[0], states[1]]).select(torch.tensor([2, 0, 0]))
    mark = merged.mark()
    model(tokens(3, 3, seed=2), state=merged)
    merged.rollback(mark)
    following = tokens(3, 1, seed=3)
    logits = model(following, state=merged)
    for row, text in enumerate([texts[1], texts[0][:1], texts[0][:1]]):
        whole = torch.cat([text, following[row : row + 1]], dim=1)
        torch.testing.assert_close(logits[row], model(whole)[0, -1:], **TOLERANCE)


def test_counted_as_the_live_module(model: Decoder) -> None:
    assert count(model.config).parameters == sum(parameter.numel() for parameter in model.parameters())
    assert activation_bytes(model.config, 64) > 0


def test_a_window_hides_what_lies_before_it(make_decoder) -> None:
    model = make_decoder(layers=1, windows=(5,))
    inputs, other = tokens(1, 20), tokens(1, 20, seed=1)
    other[:, 10:] = inputs[:, 10:]
    ours, theirs = model(inputs), model(other)
    torch.testing.assert_close(ours[:, 14:], theirs[:, 14:], **TOLERANCE)
    assert not torch.allclose(ours[:, 13], theirs[:, 13], atol=1e-3)


def test_slowed_waves_lie_between_the_original_and_the_factor() -> None:
    plain = rotary_frequencies(64, 10_000.0)
    for kind in ("llama3", "yarn"):
        slowed = rotary_frequencies(64, 10_000.0, RopeScaling(kind, 8.0, 2048))
        assert torch.equal(slowed[:4], plain[:4]) and torch.allclose(slowed[-1], plain[-1] / 8)
        assert (slowed <= plain).all() and (slowed >= plain / 8 * 0.999).all()
    torch.testing.assert_close(rotary_frequencies(64, 10_000.0, RopeScaling("linear", 8.0)), plain / 8)


def test_unfit_shapes_are_refused_with_all_that_is_wrong(make_decoder) -> None:
    with pytest.raises(ModelError) as error:
        make_decoder(windows=(5,), rope_scaling=RopeScaling("yarn", 0.5))
    assert len(error.value.problems) == 3
