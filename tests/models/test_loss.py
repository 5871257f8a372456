"""The loss in chunks, with what training may add to it: its value and its written-out gradients beside autograd's own."""

import pytest
import torch

import textmill.models.loss as loss
from textmill.models.loss import LossTerms, cross_entropy_sum
from textmill.tokens.loader import IGNORED


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_value_and_gradients_are_those_of_autograd(monkeypatch, smoothing: float, z_loss: float, biased: bool) -> None:
    monkeypatch.setattr(loss, "LOGIT_BYTES", 1)  # the smallest chunks: 64 rows
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(150, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(37, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(37, generator=generator, dtype=torch.float64, requires_grad=True) if biased else None
    learnt = (hidden, weight) if bias is None else (hidden, weight, bias)
    targets = torch.randint(0, 37, (150,), generator=generator)
    targets[3:20] = targets[140] = IGNORED

    logits = torch.nn.functional.linear(hidden, weight, bias)
    plain = torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    expected = torch.nn.functional.cross_entropy(
        logits, targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    expected = expected + z_loss * (logits.logsumexp(1) ** 2)[targets != IGNORED].sum()
    wanted = torch.autograd.grad(3 * expected, learnt)

    ours, nats = cross_entropy_sum(hidden, weight, targets, LossTerms(smoothing, z_loss), bias)
    found = torch.autograd.grad(3 * ours, learnt)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(nats, plain, rtol=1e-12, atol=0)
    for mine, theirs in zip(found, wanted):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_what_is_shown_and_validated_is_never_smoothed(make_decoder) -> None:
    model = make_decoder()
    tokens = torch.randint(0, 512, (2, 33), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1], tokens[:, 1:].contiguous()
    total, nats = model(inputs, targets, terms=LossTerms(0.1, 1e-3))
    assert total > nats and not nats.requires_grad
    torch.testing.assert_close(nats, model.token_nats(inputs, targets).sum())
    torch.testing.assert_close(nats, model(inputs, targets).detach())


def test_activation_checkpointing_gives_the_same_bits_with_dropout(make_decoder) -> None:
    model = make_decoder()
    model.set_dropout(0.3)
    model.train()
    tokens = torch.randint(0, 512, (2, 33), generator=torch.Generator().manual_seed(0))
    results = []
    for recompute in (False, True):
        model.set_activation_checkpointing(recompute)
        model.zero_grad()
        torch.manual_seed(5)
        total = model(tokens[:, :-1], tokens[:, 1:].contiguous())
        total.backward()
        results.append([total.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    assert all(torch.equal(kept, again) for kept, again in zip(*results))
