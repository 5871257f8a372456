"""The counts of parameters and operations are those of the live module and of PyTorch's own counter."""

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from textmill.models.architectures import ARCHITECTURES
from textmill.models.count import activation_bytes, count, state_bytes
from textmill.models.settings import PRESETS, ModelSettings, resized

SHAPES = [{}, {"tied_embeddings": True}, {"key_value_heads": 1, "heads": 2, "head_dim": 32}, {"layers": 1, "width": 64}]


@pytest.mark.parametrize("changes", SHAPES)
def test_parameters_and_operations(make_decoder, changes: dict) -> None:
    model = make_decoder(**changes)
    cost = count(model.config)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    model.set_eager_attention(True)
    inputs = torch.zeros(2, model.config.context_length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(inputs)
    assert counter.get_total_flops() == cost.forward_flops * inputs.numel()


def test_training_operations(make_decoder) -> None:
    model = make_decoder()
    model.set_eager_attention(True)
    inputs = torch.zeros(2, 64, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), inputs.flatten()).backward()
    assert counter.get_total_flops() == count(model.config).training_flops * inputs.numel()


def test_bytes_of_the_state(make_decoder) -> None:
    model = make_decoder()
    state = model.new_state(rows=1)
    model(torch.zeros(1, 64, dtype=torch.long), state=state)
    held = sum(buffer.numel() * buffer.element_size() for buffer in [*state._keys, *state._values])
    assert held == state_bytes(model.config, 64)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_size_they_are_named_by(name: str) -> None:
    config = ModelSettings(preset=name).config(vocabulary_size=32_768)
    cost = count(config)
    in_layers = cost.parameters - 2 * cost.embedding_parameters
    named = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
    assert in_layers == pytest.approx(named, rel=0.25)
    assert config.head_dim in (64, 128)
    assert named < 10e6 or config.width % 256 == 0


@pytest.mark.parametrize("architecture", ["lstm", "gru", "rnn"])
def test_presets_have_the_same_size_as_recurrent_models(architecture: str) -> None:
    for name in PRESETS:
        config = ModelSettings(architecture=architecture, preset=name).config(vocabulary_size=1024)
        cost = count(config)
        named = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
        assert cost.parameters - 2 * cost.embedding_parameters == pytest.approx(named, rel=0.25)
        assert resized(ModelSettings(architecture=architecture).config(1024), name) == config


@pytest.mark.parametrize("changes", [{}, ARCHITECTURES["gpt2"].differs], ids=["qwen3", "gpt2"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_of_activations_are_those_that_autograd_keeps(
    make_decoder, dtype: str, eager: bool, dropout: float, changes: dict
) -> None:
    rows, context = 4, 64

    def kept(layers: int) -> int:
        model = make_decoder(layers=layers, **changes).train()
        model.set_eager_attention(eager)
        model.set_dropout(dropout)
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        found: dict[int, torch.Tensor] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            found[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        inputs = torch.zeros(rows, context, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                total = model(inputs, inputs)
            assert total.requires_grad
        return sum(tensor.untyped_storage().nbytes() for place, tensor in found.items() if place not in weights)

    config = make_decoder(layers=1, **changes).config
    cost = count(config)
    cast = 2 * (cost.matrix_parameters - cost.embedding_parameters) if dtype == "bfloat16" else 0
    expected = rows * context * activation_bytes(config, context, dtype, eager, dropout > 0) + cast
    assert kept(3) - kept(2) == pytest.approx(expected, rel=0.02)  # beside it: small masks and rotations


def test_looking_at_a_shape_loads_no_compiler() -> None:
    """torch would load its own to set weights that have no memory, at the start of every command."""
    look = """
import sys
from textmill.models.architectures import ARCHITECTURES, build_empty
from textmill.models.settings import ModelSettings
for name in ARCHITECTURES:
    model = build_empty(ModelSettings(architecture=name, preset="3m").config(400))
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
print("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout == "False\n"
