"""A recurrent model as ONNX, of ONNX's own LSTM, GRU and RNN operators: torch's exporter would unroll it to one length.

ONNX names the gates in another order than torch, and its GRU has a setting for torch's way of computing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..models.recurrent import Recurrent

if TYPE_CHECKING:
    import onnx

# Which of torch's gates stands at each place: torch has (input, forget, cell, output) and (reset, update, new).
GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def recurrent_graph(model: Recurrent, opset: int) -> "onnx.ModelProto":
    """tokens (B, T) -> hidden (B, T, D), logits (B, T, V)."""
    from onnx import TensorProto, helper, numpy_helper

    config = model.config
    weights: dict[str, Tensor] = {"embedding": model.embedding.weight}
    nodes = [
        helper.make_node("Gather", ["embedding", "tokens"], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["layer_0"], perm=[1, 0, 2]),  # (T, B, D)
    ]
    order = GATES[config.cell]
    settings: dict[str, Any] = {"hidden_size": config.width}
    if config.cell == "gru":
        settings["linear_before_reset"] = 1
    for number, block in enumerate(model.blocks):
        cell: Any = block.cell
        weights[f"W_{number}"] = _ordered(cell.input_weight, order)
        weights[f"R_{number}"] = _ordered(cell.hidden_weight, order)
        biases = _ordered(cell.input_bias, order), _ordered(cell.hidden_bias, order)
        weights[f"B_{number}"] = torch.cat(biases, dim=1)
        inputs = [f"layer_{number}", f"W_{number}", f"R_{number}", f"B_{number}"]
        nodes.append(helper.make_node(config.cell.upper(), inputs, [f"directions_{number}"], **settings))  # (T, 1, B, D)
        nodes.append(helper.make_node("Squeeze", [f"directions_{number}", "one"], [f"layer_{number + 1}"]))
    if config.tied_embeddings:
        nodes.append(helper.make_node("Transpose", ["embedding"], ["head"], perm=[1, 0]))
    else:
        weights["head"] = model.head.weight.T
    nodes.append(helper.make_node("Transpose", [f"layer_{config.layers}"], ["hidden"], perm=[1, 0, 2]))
    nodes.append(helper.make_node("MatMul", ["hidden", "head"], ["logits"]))
    stored = [numpy_helper.from_array(np.ascontiguousarray(tensor.detach().numpy()), name) for name, tensor in weights.items()]
    stored.append(numpy_helper.from_array(np.array([1]), "one"))

    def value(name: str, kind: int, *more: int) -> "onnx.ValueInfoProto":
        return helper.make_tensor_value_info(name, kind, ["batch", "length", *more])

    graph = helper.make_graph(
        nodes,
        "textmill",
        [value("tokens", TensorProto.INT64)],
        [value("hidden", TensorProto.FLOAT, config.width), value("logits", TensorProto.FLOAT, config.vocabulary_size)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _ordered(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """torch's gates, one below the other, in ONNX's order, for its one direction: (G · D, …) -> (1, G · D, …)."""
    gates = tensor.chunk(len(order))
    return torch.cat([gates[place] for place in order])[None]
