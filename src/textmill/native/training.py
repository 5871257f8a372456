"""A training step's operations by the C++ kernels (training.cpp), as autograd functions: float32 on a CPU.

What they can't do (other formats and sizes, compilers) they leave to the plain ways, which are their reference. A gradient
that is to be differentiated again is made by the plain way too.
"""

import ctypes
import functools
import sys
from typing import Any

import torch
from torch import Tensor, nn

from ..models.attention import eager_attention
from ..models.fused import Rotation
from ..models.normalization import plain_norm
from ..models.rotary import rotate
from .fused_feed_forward import FusedFeedForward, feed_forward_fits
from .library import NoKernels, NormStruct
from .training_library import LANES, HeadsStruct, ScoresStruct, TurnStruct, again, call, fits, pointer, training_library

WIDEST_HEAD = 512


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, takes_mean: bool, epsilon: float) -> Tensor:
        x = x.contiguous()
        y, statistics = torch.empty_like(x), x.new_empty(x.numel() // x.size(-1), 2)
        norm = NormStruct(weight.data_ptr(), pointer(bias), takes_mean, epsilon)
        rows = len(statistics), x.size(-1)
        call("norm", torch.get_num_threads(), ctypes.byref(norm), x.data_ptr(), *rows, y.data_ptr(), statistics.data_ptr())
        ctx.save_for_backward(x, weight, bias, statistics)
        ctx.kind = takes_mean, epsilon
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, statistics = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = again(lambda x, weight, bias: plain_norm(x, weight, bias, *ctx.kind), (x, weight, bias), gradients[0])
            return *found, None, None
        gradient = gradients[0].contiguous()
        of_x, of_weight = torch.empty_like(x), torch.empty_like(weight)
        of_bias = None if bias is None else torch.empty_like(bias)
        norm = NormStruct(weight.data_ptr(), pointer(bias), *ctx.kind)
        pointers = ctypes.byref(norm), gradient.data_ptr(), x.data_ptr(), statistics.data_ptr()
        results = of_x.data_ptr(), of_weight.data_ptr(), pointer(of_bias)
        call("norm_backward", torch.get_num_threads(), *pointers, len(statistics), x.size(-1), *results)
        return of_x, of_weight, of_bias, None, None


def _plain_turned(x: Tensor, weight: Tensor | None, epsilon: float, rotation: Rotation | None) -> Tensor:
    x = (x if weight is None else plain_norm(x, weight, None, False, epsilon)).transpose(1, 2)
    return x if rotation is None else rotate(x, *rotation)


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, epsilon: float, cosine: Tensor | None, sine: Tensor | None
    ) -> Tensor:
        rows, tokens, heads, width = x.shape
        x = x.contiguous()
        if cosine is not None and sine is not None:
            cosine, sine = cosine.contiguous(), sine.contiguous()
        y = x.new_empty(rows, heads, tokens, width)
        statistics = None if weight is None else x.new_empty(rows * tokens, heads, 2)
        ctx.save_for_backward(x, weight, cosine, sine, statistics)
        ctx.epsilon = epsilon
        turn = _turn(x, weight, epsilon, cosine, sine)
        call("turn", ctypes.byref(turn), x.data_ptr(), y.data_ptr(), pointer(statistics))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, cosine, sine, statistics = ctx.saved_tensors
        if torch.is_grad_enabled():
            rotation = None if cosine is None else (cosine, sine)
            found = again(lambda x, weight: _plain_turned(x, weight, ctx.epsilon, rotation), (x, weight), gradients[0])
            return *found, None, None, None
        gradient = gradients[0].contiguous()
        of_x, of_weight = torch.empty_like(x), None if weight is None else torch.empty_like(weight)
        turn = _turn(x, weight, ctx.epsilon, cosine, sine)
        pointers = gradient.data_ptr(), x.data_ptr(), pointer(statistics), of_x.data_ptr(), pointer(of_weight)
        call("turn_backward", ctypes.byref(turn), *pointers)
        return of_x, of_weight, None, None, None


def _turn(x: Tensor, weight: Tensor | None, epsilon: float, cosine: Tensor | None, sine: Tensor | None) -> TurnStruct:
    rows, tokens, heads, width = x.shape
    own = 0 if cosine is None or len(cosine) == 1 else tokens * width // 2
    norm = NormStruct(pointer(weight), None, 0, epsilon)
    sizes = rows, tokens, heads, width, heads * width, own
    return TurnStruct(*sizes, pointer(cosine), pointer(sine), norm, torch.get_num_threads())


def _plain_attention(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
    return eager_attention(query, key, value, None, causal).transpose(1, 2)


class _Attention(torch.autograd.Function):
    """(B, H, T, d) -> (B, T, H, d)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
        query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
        rows, heads, tokens, width = query.shape
        found, log_sums = query.new_empty(rows, tokens, heads, width), query.new_empty(rows, heads, tokens)
        ctx.save_for_backward(query, key, value, found, log_sums)
        ctx.causal = causal
        call("attend", ctypes.byref(_scores(query, key, value, found, log_sums, causal)))
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, found, log_sums = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = again(lambda *of: _plain_attention(of[0], of[1], of[2], ctx.causal), (query, key, value), gradients[0])
            return *found, None
        gradient = gradients[0].contiguous().transpose(1, 2)
        of_all = [torch.empty_like(x) for x in (query, key, value)]
        scores = _scores(query, key, value, found, log_sums, ctx.causal)
        structs = [HeadsStruct.of(x) for x in (gradient, *of_all)]
        call("attend_backward", ctypes.byref(scores), *(ctypes.byref(struct) for struct in structs))
        return *of_all, None


def _scores(query: Tensor, key: Tensor, value: Tensor, found: Tensor, log_sums: Tensor, causal: bool) -> ScoresStruct:
    sizes = len(query), query.size(1), key.size(1), query.size(2), key.size(2), query.size(3)
    structs = [HeadsStruct.of(x) for x in (query, key, value, found.transpose(1, 2))]
    return ScoresStruct(*sizes, causal, torch.get_num_threads(), *structs, log_sums.data_ptr())


class TrainingOperations:
    """`FusedOperations` (models/fused.py) by the kernels of this processor. Raises NoKernels where there are none."""

    def __init__(self) -> None:
        self.instruction_set = training_library().instruction_set

    def __deepcopy__(self, memo: dict[int, Any]) -> "TrainingOperations":
        return self  # a copied model computes in the same way

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor | None, takes_mean: bool, epsilon: float) -> Tensor | None:
        if not fits(x, weight, bias) or x.size(-1) % LANES:
            return None
        return _Norm.apply(x, weight, bias, takes_mean, epsilon)

    def turned(self, x: Tensor, weight: Tensor | None, epsilon: float, rotation: Rotation | None) -> Tensor | None:
        if not fits(x, weight) or (weight is None and rotation is None):
            return None
        if x.size(-1) % (LANES if rotation is None else 2 * LANES) or x.size(-1) > WIDEST_HEAD:
            return None
        return _Turn.apply(x, weight, epsilon, *(rotation or (None, None)))

    def feed_forward(self, x: Tensor, gate: nn.Linear | None, up: nn.Linear, down: nn.Linear, activation: str) -> Tensor | None:
        if not feed_forward_fits(x, gate, up, down):
            return None
        weights = [None if linear is None else (linear.weight, linear.bias) for linear in (gate, up, down)]
        flat = [part for pair in weights for part in (pair or (None, None))]
        return FusedFeedForward.apply(x, activation, *flat)

    def attention(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor | None:
        if not fits(query, key, value) or query.size(-1) % LANES or (causal and query.size(2) != key.size(2)):
            return None
        return _Attention.apply(query, key, value, causal).flatten(2)

    def cross_entropy(
        self, logits: Tensor, targets: Tensor, bias: Tensor | None, smoothing: float, z_loss: float
    ) -> Tensor | None:
        if not fits(logits, bias) or logits.stride(-1) != 1:
            return None
        losses = logits.new_empty(len(logits), 2)
        pointers = pointer(bias), targets.data_ptr(), smoothing, z_loss, losses.data_ptr()
        call("cross_entropy", torch.get_num_threads(), logits.data_ptr(), *logits.shape, logits.stride(0), *pointers)
        return losses.sum(dim=0)

    def orthogonalise(self, matrices: Tensor, coefficients: Tensor) -> bool:
        """Put in place of each matrix (n, rows, columns) about U · Vᵀ of its singular value decomposition, by the polynomials
        a·x + b·x³ + c·x⁵ of `coefficients` (steps, 3), one after the other. False where it can't."""
        if not fits(matrices) or not matrices.is_contiguous() or matrices.size(1) % LANES or matrices.size(2) % LANES:
            return False
        pointers = matrices.data_ptr(), *matrices.shape, coefficients.data_ptr(), len(coefficients)
        call("orthogonalise", torch.get_num_threads(), *pointers)
        return True


@functools.cache
def operations(instruction_set: str) -> TrainingOperations | None:
    """Those of the kernels that a training chose; none for `torch`, and, with a warning, where there are none here now."""
    if instruction_set == "torch":
        return None
    try:
        return TrainingOperations()
    except NoKernels as error:
        print(f"This training began with C++ kernels ({instruction_set}), and here are {error}. torch takes their place, so "
              "digits may differ.", file=sys.stderr)  # fmt: skip
        return None
