"""Muon orthogonalises, both optimizers learn a known pattern, and their state survives a round trip to the bit."""

import pytest
import torch

from textmill.training.optimizers import Optimizer, orthogonalise
from textmill.training.settings import TrainSettings


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8), (1, 128, 352)])
def test_singular_values_become_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.7 and values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    similarity = torch.nn.functional.cosine_similarity(orthogonalise(matrices).flatten(1), (left @ right).flatten(1))
    assert similarity.min() > 0.98


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
