"""The head and its cross-entropy in one, a chunk of rows at a time, so that logits for all tokens never exist at once.

For 4,096 tokens and a vocabulary of 32,768 the logits alone are 512 MB; here a chunk of them is `logit_bytes` at most.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..tokens.loader import IGNORED
from .fused import FusedOperations

LOGIT_BYTES = 8 * 2**20  # small enough to stay in a CPU's cache, large enough that a product fills the machine
DEVICE_LOGIT_BYTES = 512 * 2**20  # on a GPU, whose products are fast where they are large, and each launch takes its time


def logit_bytes(device: str) -> int:
    """What the logits of a chunk take at most, on a kind of device."""
    return LOGIT_BYTES if device == "cpu" else DEVICE_LOGIT_BYTES


def _chunks(rows: int, vocabulary: int, device: torch.device) -> list[slice]:
    size = max(64, logit_bytes(device.type) // (4 * vocabulary))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def token_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None) -> Tensor:
    """Nats of each target, without a gradient: hidden (N, D), weight (V, D), targets (N,), bias (V,) -> (N,), 0 where
    ignored."""

    def logits(rows: Tensor) -> Tensor:
        found = (rows @ weight.to(rows.dtype).T).float()
        return found if bias is None else found.add_(bias)

    return logits_cross_entropy(logits, hidden, targets, len(weight))


def logits_cross_entropy(logits: Callable[[Tensor], Tensor], hidden: Tensor, targets: Tensor, vocabulary: int) -> Tensor:
    """The same for any way to `logits` (N, V) of hidden states (N, D)."""
    nats = torch.zeros(targets.shape, dtype=torch.float32, device=hidden.device)
    with torch.no_grad():
        for rows in _chunks(len(targets), vocabulary, targets.device):
            of_rows = logits(hidden[rows])
            nats[rows] = torch.nn.functional.cross_entropy(of_rows, targets[rows], ignore_index=IGNORED, reduction="none")
    return nats


@dataclass(frozen=True)
class LossTerms:
    """What training may add to the nats. `label_smoothing` is the share of the target that is spread evenly over the
    vocabulary (Szegedy et al. 2016), `z_loss` weighs the square of each row's log-sum-exp (Chowdhery et al. 2022)."""

    label_smoothing: float = 0.0
    z_loss: float = 0.0


PLAIN = LossTerms()


def logit_gradient(
    logits: Tensor, targets: Tensor, smoothing: float, z_loss: float, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Logits (N, V), which it overwrites, and targets (N,) -> the loss's gradient to them, and sums of loss and nats, (2,)."""
    counted = (targets != IGNORED)[:, None].to(logits.dtype)
    target = targets.clamp_min(0)[:, None]
    if bias is not None:
        logits += bias
    chosen = logits.gather(1, target)
    mean = logits.mean(dim=1, keepdim=True) if smoothing else chosen
    largest = logits.amax(dim=1, keepdim=True)
    exponentials = logits.sub_(largest).exp_()
    denominator = exponentials.sum(dim=1, keepdim=True)
    log_sum = denominator.log() + largest
    nats = ((log_sum - chosen) * counted).sum()
    loss = nats
    if smoothing or z_loss:
        loss = nats + ((smoothing * (chosen - mean) + z_loss * log_sum**2) * counted).sum()
    # d loss / d logits = softmax · (1 + 2 · z_loss · logsumexp) - (1 - smoothing) · onehot - smoothing / V
    gradient = exponentials.mul_(counted * (1 + 2 * z_loss * log_sum) / denominator)
    gradient.scatter_add_(1, target, (smoothing - 1) * counted)
    if smoothing:
        gradient.sub_(counted * (smoothing / logits.size(1)))
    return gradient, torch.stack([loss, nats])


class _CrossEntropySum(torch.autograd.Function):
    """Sum of the targets' loss, and of their plain nats, (2,). The gradients, of the first, are made in the forward pass, while
    a chunk's logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        smoothing: float,
        z_loss: float,
        bias: Tensor | None,
        fused: FusedOperations | None,
    ) -> Tensor:
        loss = torch.zeros(2, dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        hidden_gradient = torch.empty_like(hidden)
        head = weight.to(hidden.dtype)
        weight_gradient = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        bias_gradient = None if bias is None else torch.zeros_like(bias)
        chunks = _chunks(len(targets), len(weight), targets.device)
        buffer = hidden.new_empty(chunks[0].stop, len(weight))  # one for all chunks: fresh memory would cost page faults
        for rows in chunks:
            logits = torch.mm(hidden[rows], head.T, out=buffer[: rows.stop - rows.start])  # (n, V)
            own = None if fused is None else fused.cross_entropy(logits, targets[rows], bias, smoothing, z_loss)
            gradient = logits
            if own is None:
                gradient, own = logit_gradient(logits.to(loss.dtype), targets[rows], smoothing, z_loss, bias)
            loss += own
            if bias_gradient is not None:
                bias_gradient += gradient.sum(dim=0)
            gradient = gradient.to(hidden.dtype)
            torch.mm(gradient, head, out=hidden_gradient[rows])
            if weight_gradient is None:
                continue  # a frozen head
            if head.dtype != weight.dtype:  # the sum over the chunks is kept in the weight's own precision
                part = gradient.T @ hidden[rows]
                weight_gradient = weight_gradient.copy_(part) if rows.start == 0 else weight_gradient.add_(part)
            elif rows.start == 0:
                torch.mm(gradient.T, hidden[rows], out=weight_gradient)
            else:
                weight_gradient.addmm_(gradient.T, hidden[rows])
        ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        return loss  # one tensor: torch.compile loses the gradient of a pair

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None, None, Tensor | None, None]:
        scale = gradients[0][0]
        hidden_gradient, weight_gradient, bias_gradient = ctx.saved_tensors
        of_bias = None if bias_gradient is None else bias_gradient * scale
        of_weight = None if weight_gradient is None else weight_gradient * scale
        return hidden_gradient * scale.to(hidden_gradient.dtype), of_weight, None, None, None, of_bias, None


def cross_entropy_sum(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    terms: LossTerms = PLAIN,
    bias: Tensor | None = None,
    fused: FusedOperations | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum over the counted targets of -log softmax(hidden · weightᵀ + bias)[target], in nats: with `terms`, and without.

    hidden (N, D), weight (V, D), targets (N,), bias (V,) -> two scalars, the first with gradients to hidden, weight and bias.
    `fused` makes the logits' gradients where it can.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    if not torch.is_grad_enabled():
        nats = token_cross_entropy(hidden, weight, targets, bias).sum()
        return nats, nats
    loss, nats = _CrossEntropySum.apply(hidden, weight, targets, terms.label_smoothing, terms.z_loss, bias, fused).unbind()
    return loss, nats.detach()
