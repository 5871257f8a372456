"""The C++ kernels of a training step give what torch's operations give, and the same gradients, in every dialect and family."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from textmill.models.architectures import ARCHITECTURES, FAMILIES, build
from textmill.models.attention import eager_attention
from textmill.models.block import ACTIVATIONS
from textmill.models.decoder import Decoder
from textmill.models.encoder_decoder import EncoderDecoder
from textmill.models.hooks import recorded
from textmill.models.language_model import LanguageModel
from textmill.models.loss import LossTerms
from textmill.models.normalization import RMSNorm
from textmill.models.settings import ModelSettings
from textmill.native.library import NoKernels
from textmill.native.training import TrainingOperations, operations
from textmill.native.training_library import training_library
from textmill.tokens.loader import IGNORED, Batch
from textmill.training.objectives import CausalObjective
from textmill.training.optimizers import POLAR_EXPRESS, Optimizer, orthogonalise
from textmill.training.settings import TrainSettings
from textmill.training.step import Kernels, run_step

try:
    training_library()
except NoKernels as error:
    pytest.skip(str(error), allow_module_level=True)

VOCABULARY, TOKENS = 37, 33  # no multiple of a register's lanes


DIALECTS: dict[str, dict[str, Any]] = {
    "no turns": {"positions": "learned", "query_key_norm": True},
    "alibi": {"positions": "alibi"},
    "window": {"windows": (5, 0), "local_rope_theta": 500.0},
    "post-norm": {"post_norm": True, "norm": "layer", "norm_bias": True, "embedding_norm": True},
    "gated by GELU": {"activation": "gelu"},
    "gated by GELU's tanh": {"activation": "gelu_tanh", "feed_forward_bias": True},
    "ReLU without a gate": {"activation": "relu", "gated": False},
}


def randomised(model: LanguageModel) -> Any:
    generator = torch.Generator().manual_seed(0)
    model.initialise(0)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def model_of(architecture: str, **sizes: Any) -> Any:
    sizes = {"layers": 2, "width": 64, "heads": 2, "head_dim": 32, "feed_forward_width": 96, "context_length": 72} | sizes
    if ARCHITECTURES[architecture].family == "recurrent":
        sizes = {"layers": 2, "width": 64, "context_length": 72}
    return randomised(build(ModelSettings(architecture=architecture, preset="0.5m", **sizes).config(VOCABULARY)))


def tokens_of(seed: int, length: int = TOKENS) -> Tensor:
    return torch.randint(VOCABULARY, (3, length), generator=torch.Generator().manual_seed(seed))


def gradients_of(model: nn.Module) -> tuple[float, dict[str, Tensor]]:
    """The loss of a few rows, with all that may be added to it, and its gradients."""
    targets = tokens_of(1)
    targets[0, :4] = IGNORED
    more = {"source": tokens_of(2, 20)} if isinstance(model, EncoderDecoder) else {}
    model.zero_grad()
    loss = model(tokens_of(0), targets, terms=LossTerms(label_smoothing=0.1, z_loss=1e-3), **more)[0]
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return loss.item(), {name: gradient.clone() for name, gradient in gradients.items() if gradient is not None}


def check_same(model: LanguageModel) -> None:
    plain_loss, plain = gradients_of(model)
    model.set_fused(TrainingOperations())
    loss, fused = gradients_of(model)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    size = max(float(gradient.norm()) for gradient in plain.values())  # that of keys' biases is 0 but for rounding
    for name, gradient in fused.items():
        assert float((gradient - plain[name]).norm()) < 1e-4 * float(plain[name].norm()) + 1e-6 * size, name


@pytest.mark.parametrize("architecture", [name for name, each in ARCHITECTURES.items() if FAMILIES[each.config].writes])
def test_every_architecture_learns_the_same(architecture: str) -> None:
    check_same(model_of(architecture))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_learns_the_same(dialect: str) -> None:
    config = model_of("qwen3", key_value_heads=1).config
    check_same(randomised(Decoder(dataclasses.replace(config, **DIALECTS[dialect]))))


@pytest.mark.parametrize(("queries", "keys", "causal"), [(7, 7, True), (130, 130, True), (5, 61, False), (64, 3, False)])
@pytest.mark.parametrize("width", [16, 48, 128])
def test_attention_of_any_length(queries: int, keys: int, causal: bool, width: int) -> None:
    generator = torch.Generator().manual_seed(queries)
    query, key, value = (
        torch.randn(2, heads, tokens, width, generator=generator).requires_grad_()
        for heads, tokens in ((4, queries), (2, keys), (2, keys))
    )
    found = TrainingOperations().attention(query, key, value, causal)
    expected = eager_attention(query, key, value, None, causal).transpose(1, 2).flatten(2)
    assert found is not None
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    given = torch.randn(found.shape, generator=generator)
    for own, plain in zip(*(torch.autograd.grad(y, (query, key, value), given) for y in (found, expected)), strict=True):
        torch.testing.assert_close(own, plain, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("kind", sorted(ACTIVATIONS))
def test_a_feed_forward_of_many_rows_and_far_values(kind: str, gated: bool) -> None:
    """More rows than are computed at once, and inputs from where an activation is nothing to where it is all."""
    generator = torch.Generator().manual_seed(0)
    config = dataclasses.replace(model_of("qwen3").config, activation=kind, gated=gated, feed_forward_bias=True)
    feed_forward = randomised(Decoder(config)).blocks[0].feed_forward
    x = (torch.randn(2, 700, config.width, generator=generator) * 8).requires_grad_()
    given = torch.randn(x.shape, generator=generator)
    wanted = [x, *feed_forward.parameters()]
    feed_forward.fused = None
    expected, plain = feed_forward(x), torch.autograd.grad(feed_forward(x), wanted, given)
    feed_forward.fused = TrainingOperations()
    found = feed_forward(x)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    for own, other in zip(torch.autograd.grad(found, wanted, given), plain, strict=True):
        assert float((own - other).norm()) < 1e-5 * float(other.norm())


def test_a_hook_on_a_product_of_the_feed_forward_is_called() -> None:
    model, seen = model_of("qwen3"), list[nn.Module]()
    model.set_fused(TrainingOperations())
    model.blocks[1].feed_forward.up.register_forward_hook(lambda module, inputs, output: seen.append(module))
    model(tokens_of(0))
    assert seen == [model.blocks[1].feed_forward.up]


def test_gradients_can_be_differentiated() -> None:
    """Then the plain way gives them."""
    norms = []
    for fused in (None, TrainingOperations()):
        model = model_of("qwen3")
        model.set_fused(fused)
        model.set_eager_attention(fused is None)  # torch's fused attention can't do it
        hidden = model.hidden(tokens_of(0)).square().mean()
        weights = [parameter for name, parameter in model.named_parameters() if "blocks" in name]
        first = torch.autograd.grad(hidden, weights, create_graph=True)
        second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), weights)
        norms.append(torch.stack([gradient.norm() for gradient in second]))
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-3, atol=1e-6)


def test_what_the_kernels_cannot_do_is_left_to_torch() -> None:
    fused, x = TrainingOperations(), torch.randn(2, 3, 2, 24)
    assert fused.norm(x, torch.ones(24), None, False, 1e-5) is None
    assert fused.norm(x.double()[..., :16], torch.ones(16).double(), None, False, 1e-5) is None
    assert fused.attention(x, x, x, True) is None
    assert fused.turned(x[..., :16], torch.ones(16), 1e-5, (x, x)) is None
    assert not fused.orthogonalise(torch.randn(1, 24, 16), POLAR_EXPRESS)
    model = model_of("qwen3", head_dim=24)
    check_same(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert math.isfinite(gradients_of(model)[0])


def test_hooks_see_what_passes() -> None:
    model = model_of("qwen3")
    model.set_fused(TrainingOperations())
    norms = [module for module in model.modules() if isinstance(module, RMSNorm)]
    seen = list[nn.Module]()
    for norm in norms:
        norm.register_forward_hook(lambda module, inputs, output: seen.append(module))
    model(tokens_of(0))
    assert set(seen) == set(norms)
    with recorded(model, ["blocks.1.attention_pattern"]) as found:
        model(tokens_of(0))
    torch.testing.assert_close(found["blocks.1.attention_pattern"].sum(-1), torch.ones(3, 2, TOKENS))


@pytest.mark.parametrize("shape", [(16, 16), (64, 160), (208, 80), (144, 144), (272, 304)])
def test_orthogonal_matrices_are_those_of_torch(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(3, size, min(shape), generator=generator))[0] for size in shape)
    matrices = left @ torch.diag(torch.logspace(0, -3, min(shape))) @ right.mT  # a gradient's values span as much
    expected, found = orthogonalise(matrices), matrices.clone()
    assert TrainingOperations().orthogonalise(found, POLAR_EXPRESS)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    values = torch.linalg.svdvals(found)
    torch.testing.assert_close(values, torch.linalg.svdvals(expected), atol=5e-3, rtol=0)


def test_the_same_bits_whatever_the_threads_and_twice() -> None:
    """Of a step of the training loop, but for torch's own products, which have one thread here."""
    threads, results = torch.get_num_threads(), []
    try:
        for wanted in (1, 3, 3):
            model = model_of("qwen3")
            model.set_fused(TrainingOperations())
            torch.set_num_threads(wanted)
            x = torch.randn(90, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
            norm = model.blocks[0].attention_norm
            norm.zero_grad()
            norm(x).square().sum().backward()
            results.append(torch.cat([x.grad, norm.weight.grad[None]]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1]) and torch.equal(results[1], results[2])


def test_a_step_by_kernels_is_a_step_by_torch() -> None:
    tokens = tokens_of(0, TOKENS + 1)
    places, none = torch.arange(TOKENS).expand(3, -1), torch.zeros(3, dtype=torch.bool)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), places, None, none.int(), none, 3 * TOKENS)
    weights = []
    for native in ("torch", TrainingOperations().instruction_set):
        model, kernels = model_of("qwen3"), Kernels("cpu", 1, "float32", "fused", 1, False, native=native)
        optimizer = Optimizer(model, TrainSettings(steps=3))
        runner = kernels.prepare(model)
        for step in range(3):
            result = run_step(runner, optimizer, CausalObjective(), batch, None, kernels, step, rate=0.1)
            assert result.finite
        weights.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(weights[0], weights[1], atol=2e-3, rtol=1e-3)


def test_without_kernels_a_training_goes_on_by_torch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("textmill.native.library.INSTRUCTION_SETS", ("sse9",))
    for cached in (training_library, operations):
        cached.cache_clear()
    try:
        assert operations("avx512") is None
        assert "sse9 wasn't built" in capsys.readouterr().err
    finally:
        for cached in (training_library, operations):
            cached.cache_clear()
