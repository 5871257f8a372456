"""The head and its cross-entropy in one, a chunk of rows at a time, so that logits for all tokens never exist at once.

For 4,096 tokens and a vocabulary of 32,768 the logits alone are 512 MB; here a chunk of them is LOGIT_BYTES at most.
"""

from typing import Any

import torch
from torch import Tensor

from ..tokens.loader import IGNORED

LOGIT_BYTES = 8 * 2**20  # small enough to stay in a cache, large enough that a product fills the machine


def _chunks(rows: int, vocabulary: int) -> list[slice]:
    size = max(64, LOGIT_BYTES // (4 * vocabulary))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def token_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Nats of each target, without a gradient: hidden (N, D), weight (V, D), targets (N,) -> (N,), 0 where ignored."""
    nats = torch.zeros(targets.shape, dtype=torch.float32, device=hidden.device)
    with torch.no_grad():
        for rows in _chunks(len(targets), len(weight)):
            logits = (hidden[rows] @ weight.to(hidden.dtype).T).float()
            nats[rows] = torch.nn.functional.cross_entropy(logits, targets[rows], ignore_index=IGNORED, reduction="none")
    return nats


class _CrossEntropySum(torch.autograd.Function):
    """Sum of the targets' nats. The gradients are made in the forward pass, while a chunk's logits are at hand."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden)
        head = weight.to(hidden.dtype)
        weight_gradient = torch.zeros_like(weight)
        chunks = _chunks(len(targets), len(weight))
        buffer = hidden.new_empty(chunks[0].stop, len(weight))  # one for all chunks: fresh memory would cost page faults
        for rows in chunks:
            counted = (targets[rows] != IGNORED)[:, None]
            target = targets[rows].clamp_min(0)[:, None]
            logits = torch.mm(hidden[rows], head.T, out=buffer[: len(target)]).float()  # (n, V)
            chosen = logits.gather(1, target)
            largest = logits.amax(dim=1, keepdim=True)
            exponentials = logits.sub_(largest).exp_()
            denominator = exponentials.sum(dim=1, keepdim=True)
            total += ((denominator.log() + largest - chosen) * counted).sum()
            # d nats / d logits = softmax - onehot(target)
            gradient = exponentials.mul_(counted / denominator)
            gradient.scatter_add_(1, target, -counted.to(gradient.dtype))
            gradient = gradient.to(hidden.dtype)
            torch.mm(gradient, head, out=hidden_gradient[rows])
            if head.dtype == weight.dtype:
                weight_gradient.addmm_(gradient.T, hidden[rows])
            else:  # the sum over the chunks is kept in the weight's own precision
                weight_gradient += gradient.T @ hidden[rows]
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (scale,) = gradients
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return hidden_gradient * scale.to(hidden_gradient.dtype), weight_gradient * scale, None


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Sum over the counted targets of -log softmax(hidden · weightᵀ)[target], in nats.

    hidden (N, D), weight (V, D), targets (N,) -> a scalar with gradients to hidden and weight.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    if not torch.is_grad_enabled():
        return token_cross_entropy(hidden, weight, targets).sum()
    return _CrossEntropySum.apply(hidden, weight, targets)
