"""Low ranks beside frozen matrices: nothing changes at first, only they learn, merged = unmerged, and a tied head stays
tied."""

from typing import Any

import pytest
import torch
from torch import nn

from textmill.errors import ModelError
from textmill.models.architectures import ARCHITECTURES, build
from textmill.models.decoder import DecoderConfig
from textmill.models.lora import Adapted, AdaptedEmbedding, adapt, merge
from textmill.models.recurrent import RecurrentConfig
from textmill.models.settings import ModelSettings

INPUTS = torch.randint(0, 64, (2, 12), generator=torch.Generator().manual_seed(0))


def small(architecture: str, **more: object) -> nn.Module:
    layers = 1 if architecture == "cnn" else 2
    model = build(ModelSettings(architecture=architecture, layers=layers, width=32, context_length=16, **more).config(64))
    model.initialise(0)
    with torch.no_grad():  # every layer begins as the identity, in which nothing could be told apart
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model.eval()


def logits_of(model: Any) -> torch.Tensor:
    return model(INPUTS, source=INPUTS[:, :5]) if model.family == "encoder-decoder" else model(INPUTS)


LAYERED = [name for name, each in ARCHITECTURES.items() if not issubclass(each.config, RecurrentConfig)]


@pytest.mark.parametrize("architecture", LAYERED)
@pytest.mark.parametrize("embeddings", [False, True])
def test_only_low_ranks_learn_and_can_be_merged(architecture: str, embeddings: bool) -> None:
    model, plain = small(architecture), small(architecture)
    shapes = {name: tensor.shape for name, tensor in plain.state_dict().items()}
    names = adapt(model, rank=4, alpha=8, seed=0, embeddings=embeddings)
    assert names and embeddings == any("embedding" in name for name in names)
    torch.testing.assert_close(logits_of(model), logits_of(plain))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in learning) < sum(p.numel() for p in plain.parameters())
    optimizer = torch.optim.Adam(learning, lr=0.01)
    for _ in range(2):  # the first step moves `left` alone, whose zeros keep all gradients from `right`
        optimizer.zero_grad()
        logits_of(model).square().mean().backward()
        optimizer.step()
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad} and changed
    learnt = logits_of(model)
    assert not torch.allclose(learnt, logits_of(plain))
    merge(model)
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == shapes
    assert not any(isinstance(module, Adapted) for module in model.modules())
    torch.testing.assert_close(logits_of(model), learnt, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", [name for name in LAYERED if name != "cnn"])  # which has one table, and no head
def test_what_shares_a_table_goes_on_to_share_it(architecture: str) -> None:
    decoder = issubclass(ARCHITECTURES[architecture].config, DecoderConfig)  # whose head may be one of its own
    model = small(architecture, **({"tied_embeddings": True} if decoder else {}))
    tied = shared(model)
    assert tied
    adapt(model, rank=4, alpha=4, seed=0, embeddings=True)
    lefts = {id(module.left): module.left for module in model.modules() if isinstance(module, AdaptedEmbedding)}
    assert lefts
    with torch.no_grad():
        for left in lefts.values():
            left.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(2))
    learnt = logits_of(model)
    merge(model)
    assert shared(model) == tied
    torch.testing.assert_close(logits_of(model), learnt, atol=1e-4, rtol=1e-4)


def shared(model: nn.Module) -> list[set[str]]:
    """The names of each matrix that has several."""
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return [each for each in names.values() if len(each) > 1]


def test_a_recurrent_model_has_no_linear_layers_to_adapt() -> None:
    with pytest.raises(ModelError, match="linear"):
        adapt(small("lstm"), rank=4, alpha=4, seed=0)
