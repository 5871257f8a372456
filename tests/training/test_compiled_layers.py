"""Layers compiled one by one: as many programs as there are kinds of layers, and the same numbers. By torch's tracing with
gradients, without its code generator, which takes a minute and is torch's to test."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from textmill.models.decoder import Decoder
from textmill.models.loss import LossTerms, cross_entropy_sum
from textmill.training.compiled_loss import CompiledLoss

LAYERS = 6
DIALECTS: dict[str, tuple[dict[str, Any], int]] = {  # and how many kinds of layers each has
    "rotary": ({}, 1),
    "windows": ({"windows": (0, 8, 8, 8, 8, 8)}, 2),
    "layer norm": ({"positions": "learned", "norm": "layer", "gated": False, "activation": "gelu"}, 1),
}


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> None:
    torch._dynamo.reset()


def trained(model: Decoder, segments: torch.Tensor | None = None) -> list[torch.Tensor]:
    """The loss of a fixed batch and its gradients."""
    tokens = torch.randint(512, (4, 33), generator=torch.Generator().manual_seed(0))
    more = {} if segments is None else {"segments": segments, "positions": torch.arange(32).expand(4, -1)}
    loss = model.train()(tokens[:, :-1], tokens[:, 1:], **more)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return [loss.detach(), *gradients]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_layers_that_are_alike_share_one_program(make_decoder: Callable[..., Decoder], dialect: str, recompute: bool) -> None:
    changes, kinds = DIALECTS[dialect]
    model = make_decoder(layers=LAYERS, **changes)
    model.set_activation_checkpointing(recompute)
    plain, counter = trained(model), CompileCounterWithBackend("aot_eager")
    model.set_compiled_layers(partial(torch.compile, backend=counter, fullgraph=True))
    for ours, theirs in zip(trained(model), plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert counter.frame_count == kinds


def test_only_training_runs_what_was_compiled(make_decoder: Callable[..., Decoder]) -> None:
    model, counter = make_decoder(layers=2), CompileCounterWithBackend("aot_eager")
    model.set_compiled_layers(partial(torch.compile, backend=counter))
    state = model.eval().new_state(1)
    with torch.no_grad():
        for token in range(3):
            model(torch.tensor([[token]]), state=state)
    assert counter.frame_count == 0
    model.set_compiled_layers(None)
    trained(model)
    assert counter.frame_count == 0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compiled_loss_is_the_plain_one(bias: bool, dtype: torch.dtype) -> None:
    generator, terms = torch.Generator().manual_seed(0), LossTerms(label_smoothing=0.1, z_loss=1e-3)
    hidden, weight = (torch.randn(*shape, generator=generator, requires_grad=True) for shape in ((70, 16), (96, 16)))
    of_bias = torch.randn(96, generator=generator, requires_grad=True) if bias else None
    targets = torch.randint(96, (70,), generator=generator)
    targets[3:9] = -100
    found = []
    for fused in (None, CompiledLoss(partial(torch.compile, backend="aot_eager"))):
        loss, nats = cross_entropy_sum(hidden.to(dtype), weight, targets, terms, of_bias, fused)
        wanted = [tensor for tensor in (hidden, weight, of_bias) if tensor is not None]
        found.append([loss.detach(), nats, *torch.autograd.grad(loss, wanted)])
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
