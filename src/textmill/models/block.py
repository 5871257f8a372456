"""One Transformer layer: attention, then feed-forward, each added to the residual stream, normalised before or after."""

import functools
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attention
from .config import TransformerConfig
from .normalization import make_norm
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
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """One layer, the `layer`-th of its stack."""

    def __init__(self, config: TransformerConfig, layer: int, causal: bool):
        super().__init__()
        norm = functools.partial(make_norm, config.width, config.norm, config.norm_epsilon, config.norm_bias)
        self.post_norm = config.post_norm
        self.attention_norm = norm() if layer or config.first_attention_norm else nn.Identity()
        self.attention = Attention(config, causal)
        self.feed_forward_norm = norm()
        self.feed_forward = FeedForward(config)
        self.drop = nn.Dropout(0.0)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        state: KeyValueState | None,
        layer: int,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        if self.post_norm:
            x = self.attention_norm(x + self.drop(self.attention(x, rotation, mask, state, layer)))
            return self.feed_forward_norm(x + self.drop(self.feed_forward(x)))
        x = x + self.drop(self.attention(self.attention_norm(x), rotation, mask, state, layer))
        return x + self.drop(self.feed_forward(self.feed_forward_norm(x)))
