"""One Transformer layer: attention, perhaps to a memory too, then feed-forward, each added to the residual stream and
normalised, before or after."""

import functools
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attention, CrossAttention
from .config import TransformerConfig
from .fused import FusedOperations
from .normalization import make_norm
from .packed import PackedState
from .state import KeyValueState

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """down(activation(up(x))), or, gated, down(activation(gate(x)) · up(x)): with SiLU that is SwiGLU (Shazeer 2020)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        bias = config.feed_forward_bias
        self.gate = nn.Linear(config.width, config.feed_forward_width, bias=bias) if config.gated else None
        self.up = nn.Linear(config.width, config.feed_forward_width, bias=bias)
        self.down = nn.Linear(config.feed_forward_width, config.width, bias=bias)
        self.kind, self.activation = config.activation, ACTIVATIONS[config.activation]
        self.fused: FusedOperations | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        if self.fused is not None:
            found = self.fused.feed_forward(x, self.gate, self.up, self.down, self.kind)
            if found is not None:
                return found
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        gate, up = self.gate(x), self.up(x)
        return self.down(self.activation(gate) * up)


class Block(nn.Module):
    """One layer, the `layer`-th of its stack. With `cross` it also looks up in a memory."""

    def __init__(self, config: TransformerConfig, layer: int, causal: bool, cross: bool = False):
        super().__init__()
        norm = functools.partial(make_norm, config.width, config.norm, config.norm_epsilon, config.norm_bias)
        self.post_norm = config.post_norm
        self.attention_norm = norm() if layer or config.first_attention_norm else nn.Identity()
        self.attention = Attention(config, causal)
        self.cross_attention_norm = norm() if cross else None
        self.cross_attention = CrossAttention(config) if cross else None
        self.feed_forward_norm = norm()
        self.feed_forward = FeedForward(config)
        self.drop = nn.Dropout(0.0)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        mask: Any,
        state: KeyValueState | PackedState | None,
        layer: int,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """x (B, T, D), and a memory (B, S, D) unless the state holds it -> (B, T, D)."""
        x = self._add(x, self.attention_norm, self.attention, rotation, mask, state, layer)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            x = self._add(x, self.cross_attention_norm, self.cross_attention, memory, memory_mask, state, layer)
        return self._add(x, self.feed_forward_norm, self.feed_forward)

    def _add(self, x: Tensor, norm: nn.Module, sublayer: nn.Module, *arguments: Any) -> Tensor:
        """x with what a sub-layer makes of it, normalised on the way."""
        if self.post_norm:
            return norm(x + self.drop(sublayer(x, *arguments)))
        return x + self.drop(sublayer(norm(x), *arguments))
