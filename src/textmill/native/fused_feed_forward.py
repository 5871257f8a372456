"""A whole feed-forward as one autograd function, some hundred rows at a time.

So what stands between its products stays in a core's cache, and only what the activation is given is kept for the way back.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from ..models.block import ACTIVATIONS
from .library import KINDS
from .training_library import LANES, InnerStruct, again, call, fits

CHUNK_BYTES = 2**20  # of what stands between the products, for a chunk of rows
FEWEST_ROWS = 256  # of a chunk, below which a product doesn't fill the machine

Weights = tuple[Tensor | None, ...]  # gate, up and down, each with its bias


def feed_forward_fits(x: Tensor, gate: nn.Linear | None, up: nn.Linear, down: nn.Linear) -> bool:
    """Whether the products are plain ones, in the kernels' numbers, and nobody wants to see what stands between them."""
    linears = [linear for linear in (gate, up, down) if linear is not None]
    plain = all(type(each) is nn.Linear and not each._forward_hooks and not each._forward_pre_hooks for each in linears)
    if not plain or torch.is_autocast_enabled("cpu"):
        return False
    return fits(x, *(each.weight for each in linears)) and up.out_features % LANES == 0


def _plain(activation: str, x: Tensor, weights: Weights) -> Tensor:
    gate, gate_bias, up, up_bias, down, down_bias = weights
    assert up is not None and down is not None
    linear, act = nn.functional.linear, ACTIVATIONS[activation]
    risen = linear(x, up, up_bias)
    return linear(act(risen) if gate is None else act(linear(x, gate, gate_bias)) * risen, down, down_bias)


def _chunks(rows: int, width: int) -> list[slice]:
    size = max(FEWEST_ROWS, CHUNK_BYTES // (4 * width))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, into: Tensor) -> None:
    """x · weightᵀ + bias."""
    if bias is None:
        torch.mm(x, weight.T, out=into)
    else:
        torch.addmm(bias, x, weight.T, out=into)


def _inner(activation: str, rows: Tensor, gated: bool) -> InnerStruct:
    """rows (n, width), or, gated, (n, 2 · width), the gate first."""
    apart, width = rows.size(1), rows.size(1) // (1 + gated)
    up = rows.data_ptr() + 4 * gated * width
    kind = KINDS.index(activation)
    return InnerStruct(kind, torch.get_num_threads(), len(rows), width, apart, rows.data_ptr() if gated else None, up)


class FusedFeedForward(torch.autograd.Function):
    """(x, activation, gate, its bias, up, its bias, down, its bias) -> as x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: str, *weights: Tensor | None) -> Tensor:
        gate, gate_bias, up, up_bias, down, down_bias = weights
        assert up is not None and down is not None
        flat, width, gated = x.flatten(0, -2).contiguous(), len(up), gate is not None
        between = flat.new_empty(len(flat), (1 + gated) * width)
        chunks = _chunks(len(flat), between.size(1))
        y, found = flat.new_empty(chunks[0].stop, width), flat.new_empty(len(flat), len(down))
        for rows in chunks:
            own, own_y = between[rows], y[: rows.stop - rows.start]
            if gate is not None:
                _product(flat[rows], gate, gate_bias, own[:, :width])
            _product(flat[rows], up, up_bias, own[:, -width:])
            call("activate", ctypes.byref(_inner(activation, own, gated)), own_y.data_ptr())
            _product(own_y, down, down_bias, found[rows])
        ctx.save_for_backward(x, between, *weights)
        ctx.activation = activation
        return found.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, between, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            of_x, *of_weights = again(lambda x, *of: _plain(ctx.activation, x, of), (x, *weights), gradients[0])
            return of_x, None, *of_weights
        gate, _, up, _, down, _ = weights
        flat, given = x.flatten(0, -2).contiguous(), gradients[0].flatten(0, -2).contiguous()
        width, gated = len(up), gate is not None
        of_x = torch.empty_like(flat)
        of_weights = [None if weight is None else torch.zeros_like(weight) for weight in weights]
        chunks = _chunks(len(flat), between.size(1))
        most = chunks[0].stop
        of_y, y, slopes = flat.new_empty(most, width), flat.new_empty(most, width), flat.new_empty(most, between.size(1))
        for rows in chunks:
            count = rows.stop - rows.start
            own_y, own_slopes, own_given, own_x = y[:count], slopes[:count], given[rows], flat[rows]
            torch.mm(own_given, down, out=of_y[:count])
            inner = _inner(ctx.activation, between[rows], gated)
            slopes_at = slopes.data_ptr(), slopes.data_ptr() + 4 * gated * width
            call("activate_backward", ctypes.byref(inner), of_y.data_ptr(), y.data_ptr(), *slopes_at)
            of_gate, of_up = own_slopes[:, :width], own_slopes[:, -width:]
            pairs = ((of_gate, own_x), (of_up, own_x), (own_given, own_y))
            for (slope, source), of_weight, of_bias in zip(pairs, of_weights[::2], of_weights[1::2], strict=True):
                if of_weight is not None:
                    of_weight.addmm_(slope.T, source)
                if of_bias is not None:
                    of_bias += slope.sum(dim=0)
            torch.mm(of_up, up, out=of_x[rows])
            if gate is not None:
                of_x[rows].addmm_(of_gate, gate)
        return of_x.view_as(x), None, *of_weights
