"""The decoder: rotary positions, RMSNorm before each sub-layer, normalised queries and keys, SwiGLU, grouped queries.

Exactly what `Qwen3ForCausalLM` of transformers holds, so that a trained folder loads there without our code.
Sources: SwiGLU, Shazeer 2020; QK-norm, Henry et al. 2020; grouped queries, Ainslie et al. 2023.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import ModelError
from .attention import causal_mask, eager_attention, fused_attention
from .loss import PLAIN, LossTerms, cross_entropy_sum, token_cross_entropy
from .normalization import RMSNorm
from .rotary import Rotary, rotate
from .state import KeyValueState


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder. `key_value_heads` divides `heads`; `heads * head_dim` need not equal `width`."""

    vocabulary_size: int
    context_length: int
    layers: int
    width: int
    heads: int
    key_value_heads: int
    head_dim: int
    feed_forward_width: int
    tied_embeddings: bool = False
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-6

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be at least 1, found {value}"
            for name, value in vars(self).items()
            if isinstance(value, int) and not isinstance(value, bool) and value < 1
        ]
        if self.key_value_heads >= 1 and self.heads % self.key_value_heads:
            problems.append(f"heads ({self.heads}) must be a multiple of key_value_heads ({self.key_value_heads})")
        if self.head_dim % 2:
            problems.append(f"head_dim must be even, since rotary positions turn pairs; found {self.head_dim}")
        if problems:
            raise ModelError(*problems)


class Attention(nn.Module):
    """Causal self-attention with grouped queries. `eager` takes the written-out path and keeps its weights."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.head_dim = config.head_dim
        query_width, key_width = config.heads * config.head_dim, config.key_value_heads * config.head_dim
        self.query = nn.Linear(config.width, query_width, bias=False)
        self.key = nn.Linear(config.width, key_width, bias=False)
        self.value = nn.Linear(config.width, key_width, bias=False)
        self.output = nn.Linear(query_width, config.width, bias=False)
        self.query_norm = RMSNorm(config.head_dim, config.norm_epsilon)
        self.key_norm = RMSNorm(config.head_dim, config.norm_epsilon)
        self.eager = False
        self.weights: Tensor | None = None

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
        state: KeyValueState | None,
        layer: int,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        batch, length, _ = x.shape
        query = self.query_norm(self.query(x).view(batch, length, -1, self.head_dim)).transpose(1, 2)  # (B, H, T, d)
        key = self.key_norm(self.key(x).view(batch, length, -1, self.head_dim)).transpose(1, 2)  # (B, K, T, d)
        value = self.value(x).view(batch, length, -1, self.head_dim).transpose(1, 2)  # (B, K, T, d)
        query, key = rotate(query, *rotation), rotate(key, *rotation)
        if state is not None:
            key, value = state.append(layer, key, value)  # (B, K, S, d)
        if self.eager:
            mixed, weights = eager_attention(query, key, value, mask)
            self.weights = weights.detach()
        else:
            mixed = fused_attention(query, key, value, mask)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.gate = nn.Linear(config.width, config.feed_forward_width, bias=False)
        self.up = nn.Linear(config.width, config.feed_forward_width, bias=False)
        self.down = nn.Linear(config.feed_forward_width, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """One layer: attention, then feed-forward, each added to the residual stream."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_epsilon)
        self.attention = Attention(config)
        self.feed_forward_norm = RMSNorm(config.width, config.norm_epsilon)
        self.feed_forward = FeedForward(config)
        self.drop = nn.Dropout(0.0)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
        state: KeyValueState | None,
        layer: int,
    ) -> Tensor:
        x = x + self.drop(self.attention(self.attention_norm(x), rotation, mask, state, layer))
        return x + self.drop(self.feed_forward(self.feed_forward_norm(x)))


class Decoder(nn.Module):
    """A causal language model: token ids (B, T) -> the distribution of each next token."""

    family = "decoder"

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        self.recompute = False
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.drop = nn.Dropout(0.0)
        self.rotary = Rotary(config.context_length, config.head_dim, config.rope_theta)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        self.head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        if config.tied_embeddings:
            self.head.weight = self.embedding.weight

    def initialise(self, seed: int) -> None:
        """Fill the weights as a function of the seed alone.

        Every layer starts as the identity (its output projections are zero) and the untied head predicts the uniform
        distribution, so that the first steps are calm and need hardly any warm-up (modded-nanogpt, record 5).
        """
        generator = torch.Generator().manual_seed(seed)
        tied = self.config.tied_embeddings
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 1:
                    parameter.fill_(1.0)
                elif name == "embedding.weight":
                    # A tied matrix is also the head, where unit variance would make the first predictions wild.
                    parameter.normal_(0.0, self.config.width**-0.5 if tied else 1.0, generator=generator)
                elif name.endswith(("output.weight", "down.weight", "head.weight")):
                    parameter.zero_()
                else:
                    parameter.normal_(0.0, parameter.size(1) ** -0.5, generator=generator)

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def set_eager_attention(self, eager: bool) -> None:
        """Take the written-out attention path, which keeps each layer's weights, or torch's fused one."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.eager, module.weights = eager, None

    def set_dropout(self, probability: float) -> None:
        """Zero a share of the embeddings and of what each sub-layer adds, in training mode only."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = probability

    def set_activation_checkpointing(self, recompute: bool) -> None:
        """Keep only each layer's input for the backward pass, and compute the layer again there (Chen et al. 2016). The same
        bits for less memory and a third more work."""
        self.recompute = recompute

    def new_state(self, rows: int) -> KeyValueState:
        """An empty memory for `rows` sequences, to be given to `forward` with each further piece of them."""
        config = self.config
        return KeyValueState(config.layers, rows, config.key_value_heads, config.head_dim, config.context_length)

    def hidden(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        state: KeyValueState | None = None,
    ) -> Tensor:
        """The normalised last hidden state, (B, T, D), of token ids (B, T).

        positions (B, T) default to 0, 1, … after what `state` holds; segments (B, T) keep attention inside documents.
        """
        length, seen = inputs.size(1), state.length if state is not None else 0
        if seen + length > self.config.context_length:
            raise ModelError(
                f"{seen + length} tokens are more than the model's context of {self.config.context_length}; "
                "give a shorter text, or a model trained with a longer context"
            )
        if positions is None:
            positions = torch.arange(seen, seen + length, device=inputs.device)[None]
        rotation = self.rotary(positions)
        mask = causal_mask(length, seen + length, segments, inputs.device)
        x = self.drop(self.embedding(inputs))
        recompute = self.recompute and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            if recompute:
                x = checkpoint(block, x, rotation, mask, state, layer, use_reentrant=False)
            else:
                x = block(x, rotation, mask, state, layer)
        if state is not None:
            state.advance(length)
        return self.norm(x)

    def forward(
        self,
        inputs: Tensor,
        targets: Tensor | None = None,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        state: KeyValueState | None = None,
        terms: LossTerms | None = None,
    ) -> Any:
        """Logits (B, T, V); or, with targets (B, T), the sum of their nats as a scalar, where -100 doesn't count.

        With `terms` a pair of scalars: the loss to be trained on, and the nats without these terms and without a gradient.
        """
        hidden = self.hidden(inputs, positions, segments, state)
        if targets is None:
            return self.head(hidden)
        loss, nats = cross_entropy_sum(hidden.flatten(0, 1), self.head.weight, targets.flatten(), terms or PLAIN)
        return loss if terms is None else (loss, nats)

    @torch.no_grad()
    def token_nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """-log p of each target, (B, T) in nats, 0 where the target is -100."""
        hidden = self.hidden(inputs)
        return token_cross_entropy(hidden.flatten(0, 1), self.head.weight, targets.flatten()).view_as(targets)
