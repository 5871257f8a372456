"""The decoder gives the same numbers whichever way it is fed: cached, packed, eager, compiled, loss in chunks."""

import pytest
import torch

import textmill.models.loss as loss
from textmill.errors import ModelError
from textmill.models.decoder import DecoderConfig
from textmill.models.hooks import recorded
from textmill.models.loss import LossTerms
from textmill.tokens.loader import IGNORED

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 512, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("pieces", [[64], [1] * 64, [5, 1, 30, 1, 1, 26]])
def test_cached_is_uncached(make_decoder, pieces: list[int]) -> None:
    model, inputs = make_decoder(), tokens(2, 64)
    state = model.new_state(rows=2)
    cached = torch.cat([model(piece, state=state) for piece in inputs.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(cached, model(inputs), **TOLERANCE)


def test_packed_is_unpacked(make_decoder) -> None:
    model = make_decoder()
    documents = [tokens(1, length, seed=length) for length in (9, 1, 20, 14)]
    packed = torch.cat(documents, dim=1)
    segments = torch.cat([torch.full_like(document, n) for n, document in enumerate(documents)], dim=1)
    positions = torch.cat([torch.arange(document.size(1))[None] for document in documents], dim=1)
    unpacked = torch.cat([model(document) for document in documents], dim=1)
    torch.testing.assert_close(model(packed, positions=positions, segments=segments), unpacked, **TOLERANCE)


def test_eager_is_fused_and_keeps_its_weights(make_decoder) -> None:
    model, inputs = make_decoder(), tokens(2, 32)
    fused = model(inputs)
    with recorded(model, ["blocks.0.attention_pattern"]) as found:
        torch.testing.assert_close(model(inputs), fused, **TOLERANCE)
    weights = found["blocks.0.attention_pattern"]
    assert weights.shape == (2, 4, 32, 32)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 32))
    assert not weights.triu(1).any()


def test_compiled_is_eager(make_decoder, require) -> None:
    require("g++")
    model, inputs, targets = make_decoder(layers=1), tokens(2, 32), tokens(2, 32, seed=1)
    compiled = torch.compile(model)
    results = []
    for runner in (model, compiled):
        model.zero_grad()
        total, _ = runner(inputs, targets, terms=LossTerms(0.1, 1e-3))
        total.backward()
        results.append([total.detach(), *(parameter.grad for parameter in model.parameters())])
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("tied", [False, True])
def test_loss_in_chunks_is_the_loss_at_once(make_decoder, monkeypatch, tied: bool) -> None:
    model, inputs, targets = make_decoder(tied_embeddings=tied), tokens(3, 64), tokens(3, 64, seed=1)
    targets[0, :40] = targets[2, 3] = IGNORED
    plain = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="sum")
    plain.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    monkeypatch.setattr(loss, "LOGIT_BYTES", 4 * 512 * 64)  # three chunks
    total = model(inputs, targets)
    (2 * total).backward()
    torch.testing.assert_close(total, plain, **TOLERANCE)
    for parameter, gradient in zip(model.parameters(), expected):
        torch.testing.assert_close(parameter.grad, 2 * gradient, atol=1e-3, rtol=1e-4)
    nats = model.token_nats(inputs, targets)
    torch.testing.assert_close(nats.sum(), plain.detach(), **TOLERANCE)
    assert not nats[targets == IGNORED].any()


def test_a_token_never_sees_its_future(make_decoder) -> None:
    model, inputs = make_decoder(), tokens(1, 40)
    changed = inputs.clone()
    changed[0, 25] += 1
    before, after = model(inputs), model(changed)
    torch.testing.assert_close(before[:, :25], after[:, :25], **TOLERANCE)
    assert (before[:, 25:] - after[:, 25:]).abs().amax(-1).min() > 1e-3


def test_fresh_model_predicts_the_uniform_distribution_and_depends_on_the_seed_alone(make_decoder) -> None:
    first, second, other = make_decoder(), make_decoder(layers=3), make_decoder()
    torch.manual_seed(123)  # the global generator has no say
    for model, seed in ((first, 5), (second, 5), (other, 6)):
        model.initialise(seed)
    assert not first(tokens(1, 10)).any()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_more_tokens_than_the_context_is_an_error_with_both_numbers(make_decoder) -> None:
    model = make_decoder()
    with pytest.raises(ModelError, match=r"65 tokens .* context of 64"):
        model(tokens(1, 65))


def test_all_faults_of_a_shape_are_told_together() -> None:
    with pytest.raises(ModelError) as error:
        DecoderConfig(512, 0, 2, 48, heads=4, key_value_heads=3, head_dim=15, feed_forward_width=96)
    assert len(error.value.problems) == 3


def test_dropout_acts_in_training_alone_and_keeps_the_mean(make_decoder) -> None:
    model, inputs = make_decoder(), tokens(4, 32)
    plain = model.hidden(inputs)
    model.set_dropout(0.5)
    assert torch.equal(model.hidden(inputs), plain)
    model.train()
    torch.manual_seed(0)
    first, second = model.hidden(inputs), model.hidden(inputs)
    torch.manual_seed(0)
    assert torch.equal(model.hidden(inputs), first) and not torch.equal(first, second)
    torch.manual_seed(0)
    embedded = torch.stack([model.drop(model.embedding(inputs)) for _ in range(400)])
    assert (embedded == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(embedded.mean(0), model.embedding(inputs), atol=0.25, rtol=0.1)
