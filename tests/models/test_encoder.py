"""An encoder gives the same numbers padded and not, packed and alone, by both attention paths; each token sees both sides."""

import pytest
import torch

from textmill.errors import ModelError
from textmill.models.count import activation_bytes, count, state_bytes
from textmill.models.encoder import Encoder
from textmill.models.hooks import hook_points, recorded

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
DIALECTS = {
    "bert": ("bert", {}),
    "modernbert": ("modernbert", {}),
    "alibi": ("bert", {"positions": "alibi"}),
    "grouped": ("modernbert", {"key_value_heads": 2, "head_dim": 16}),
}


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 512, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=DIALECTS)
def model(request: pytest.FixtureRequest, make_encoder) -> Encoder:
    architecture, changes = DIALECTS[request.param]
    return make_encoder(architecture, **changes)


def test_padded_is_unpadded_and_eager_is_fused(model: Encoder) -> None:
    texts = [tokens(1, length, seed=length) for length in (12, 5, 30)]
    lengths = torch.tensor([text.size(1) for text in texts])
    rows = torch.cat([torch.nn.functional.pad(text, (0, 30 - text.size(1)), value=3) for text in texts])
    padded = model(rows, lengths=lengths)
    with recorded(model, ["blocks.1.attention_pattern"]) as found:
        torch.testing.assert_close(model(rows, lengths=lengths), padded, **TOLERANCE)
    torch.testing.assert_close(found["blocks.1.attention_pattern"].sum(-1), torch.ones(3, 4, 30))
    for row, text in enumerate(texts):
        torch.testing.assert_close(padded[row, : lengths[row]], model(text)[0], **TOLERANCE)


def test_packed_is_alone(model: Encoder) -> None:
    first, second = tokens(1, 9), tokens(1, 14, seed=1)
    segments = torch.tensor([[0] * 9 + [1] * 14])
    positions = torch.cat([torch.arange(9), torch.arange(14)])[None]
    packed = model(torch.cat([first, second], dim=1), positions=positions, segments=segments)
    torch.testing.assert_close(packed[:, :9], model(first), **TOLERANCE)
    torch.testing.assert_close(packed[:, 9:], model(second), **TOLERANCE)


def test_every_token_sees_what_follows_it(model: Encoder) -> None:
    inputs = tokens(1, 20)
    changed = inputs.clone()
    changed[0, 19] = (changed[0, 19] + 1) % 512
    assert not torch.allclose(model(inputs)[0, 0], model(changed)[0, 0], atol=1e-3)


def test_a_window_looks_half_of_it_to_either_side(make_encoder) -> None:
    model = make_encoder("modernbert", layers=1, windows=(8,))
    inputs, other = tokens(1, 30), tokens(1, 30, seed=1)
    other[:, 10:20] = inputs[:, 10:20]
    ours, theirs = model(inputs), model(other)
    torch.testing.assert_close(ours[:, 14:16], theirs[:, 14:16], **TOLERANCE)
    assert not torch.allclose(ours[:, 13], theirs[:, 13], atol=1e-3) and not torch.allclose(
        ours[:, 16], theirs[:, 16], atol=1e-3
    )


def test_loss_and_gradient_are_those_of_the_masked_tokens(model: Encoder) -> None:
    inputs = tokens(2, 20)
    targets = torch.where(torch.arange(20) % 5 == 2, inputs, -100)
    loss = model(inputs, targets)
    loss.backward()
    gradient = model.embedding.weight.grad.clone()
    model.zero_grad()
    plain = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="sum")
    plain.backward()
    torch.testing.assert_close(loss, plain, **TOLERANCE)
    torch.testing.assert_close(gradient, model.embedding.weight.grad, atol=1e-3, rtol=1e-3)


def test_counted_as_the_live_module_and_its_head_by_the_share(model: Encoder) -> None:
    cost, trained = count(model.config), count(model.config, head_share=0.15)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert cost.head_parameters == 512 * 48 + 48 * 48
    assert cost.training_flops - trained.training_flops == pytest.approx(6 * 0.85 * cost.head_parameters, rel=1e-3)
    assert trained.needed_training_flops == trained.training_flops, "no causality masks half of the attention"
    assert state_bytes(model.config, 64) == 0 and activation_bytes(model.config, 64) > 0


def test_its_places_have_the_names_of_every_family(model: Encoder, make_decoder) -> None:
    assert list(hook_points(model)) == list(hook_points(make_decoder()))


def test_too_long_a_text_is_refused_with_both_numbers(make_encoder) -> None:
    with pytest.raises(ModelError, match="65 tokens are more than the model's context of 64"):
        make_encoder("bert")(tokens(1, 65))
