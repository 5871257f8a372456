"""Muon orthogonalises, both optimizers learn a known pattern, and their state survives a round trip to the bit."""

import subprocess
import sys

import pytest
import torch

from textmill.training.optimizers import ADAM_BETAS, ADAM_EPSILON, Optimizer, orthogonalise
from textmill.training.settings import TrainSettings


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8), (1, 128, 352)])
def test_singular_values_become_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.2 and values.max() < 1.3 and values.median() > 0.7
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    similarity = torch.nn.functional.cosine_similarity(orthogonalise(matrices).flatten(1), (left @ right).flatten(1))
    assert similarity.min() > 0.95


def trained(model, optimizer: Optimizer, steps: range) -> list[float]:
    losses = []
    inputs = torch.arange(60).remainder(7).view(2, 30)
    for step in steps:
        loss = model(inputs[:, :-1], inputs[:, 1:]) / 58
        loss.backward()
        optimizer.step(step, rate=1.0)
        optimizer.zero_gradients()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_learns_and_goes_on_to_the_bit_from_its_saved_state(make_decoder, kind: str) -> None:
    settings = TrainSettings(steps=1, optimizer=kind, weight_decay=0.1, embedding_learning_rate=0.01)
    model, copy = make_decoder(), make_decoder()
    model.initialise(0)
    copy.initialise(0)
    optimizer = Optimizer(model, settings)
    losses = trained(model, optimizer, range(60))
    assert losses[-1] < 0.1 < losses[0]
    first = Optimizer(copy, settings)
    trained(copy, first, range(17))
    resumed = Optimizer(copy, settings)
    resumed.load({name: tensor.clone() for name, tensor in first.state().items()})
    assert trained(copy, resumed, range(17, 60)) == losses[17:]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copy.parameters()))


def test_muon_takes_the_layers_matrices_and_adamw_all_else(make_decoder) -> None:
    model = make_decoder()
    optimizer = Optimizer(model, TrainSettings(steps=1))
    by_muon = {name for stack in optimizer.stacks for name in stack.names}
    assert by_muon == {n for n, p in model.named_parameters() if n.startswith("blocks.") and p.dim() == 2}
    assert by_muon | set(optimizer.others) == {name for name, _ in model.named_parameters()}
    assert not by_muon & set(optimizer.others)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_weight_decay_goes_by_group(make_decoder, kind: str) -> None:
    settings = TrainSettings(
        steps=1, optimizer=kind, matrix_learning_rate=0.1, embedding_learning_rate=0.1,
        weight_decay=0.5, embedding_weight_decay=0.25, norm_weight_decay=0.125,
    )  # fmt: skip
    model = make_decoder()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)  # so decay alone moves the weights
    Optimizer(model, settings).step(0, rate=1.0)
    for name, parameter in model.named_parameters():
        decay = 0.125 if parameter.dim() == 1 else 0.5 if name.startswith("blocks.") else 0.25
        torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.1 * decay))


def test_l1_draws_to_exactly_zero_and_leaves_the_norms(make_decoder) -> None:
    model = make_decoder()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    settings = TrainSettings(steps=1, l1=1.0, weight_decay=0, matrix_learning_rate=0.1, embedding_learning_rate=0.1)
    Optimizer(model, settings).step(0, rate=1.0)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(parameter, before[name])
        else:
            expected = before[name].sign() * (before[name].abs() - 0.1).clamp_min(0)
            torch.testing.assert_close(parameter.detach(), expected)
            assert (parameter == 0).sum() > 0.1 * parameter.numel()


def test_adamw_is_torchs_own_to_the_bit(make_decoder) -> None:
    model, peer = make_decoder(), make_decoder()
    model.initialise(0)
    peer.initialise(0)
    settings = TrainSettings(steps=1, optimizer="adamw", matrix_learning_rate=0.01, weight_decay=0.1)
    optimizer = Optimizer(model, settings)
    groups = [{"params": [peer.get_parameter(name)], "lr": other.peak / 2, "weight_decay": other.weight_decay}
              for name, other in optimizer.others.items()]  # fmt: skip
    theirs = torch.optim.AdamW(groups, betas=ADAM_BETAS, eps=ADAM_EPSILON, fused=True)
    inputs = torch.arange(60).remainder(7).view(2, 30)
    for step in range(5):
        for each in (model, peer):
            each(inputs[:, :-1], inputs[:, 1:]).backward()
        optimizer.step(step, rate=0.5)
        theirs.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), peer.parameters()))


def test_training_doesnt_load_torchs_compiler() -> None:
    """It takes longer to load than many a model to learn something."""
    program = """
import sys, torch
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings
model = torch.nn.Linear(8, 8)
optimizer = Optimizer(model, TrainSettings(steps=1))
model(torch.ones(8)).sum().backward()
torch.nn.utils.get_total_norm([model.weight.grad])
optimizer.step(0, 1.0)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_products_in_bfloat16_orthogonalise_as_well() -> None:
    matrices = torch.randn(2, 24, 40, generator=torch.Generator().manual_seed(1))
    exact, short = orthogonalise(matrices), orthogonalise(matrices, torch.bfloat16)
    assert short.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(exact.flatten(1), short.float().flatten(1)).min() > 0.999
