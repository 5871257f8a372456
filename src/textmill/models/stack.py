"""Token ids -> embeddings -> layers -> the last hidden state: a decoder, an encoder, or half of an encoder–decoder."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import ModelError
from .attention import attention_mask
from .block import Block
from .config import TransformerConfig
from .flexible_attention import flexible_mask
from .normalization import make_norm
from .packed import PackedState
from .positions import SinusoidalPositions, alibi_bias
from .rotary import Rotary
from .state import KeyValueState

Rotation = tuple[Tensor, Tensor]


class TransformerStack(nn.Module):
    """The layers that `config` describes; `causal` ones see only what stands before them. With `cross` they also look up in a
    memory. An `embedding` that is given is shared with whoever gives it."""

    def __init__(self, config: Any, causal: bool, cross: bool = False, embedding: nn.Embedding | None = None):
        super().__init__()
        self.shape: TransformerConfig = config
        self.causal = causal
        self.recompute = self.flexible = False
        self.compiled: Callable[..., Tensor] | None = None
        self.embedding = nn.Embedding(config.vocabulary_size, config.width) if embedding is None else embedding
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.position_offset + config.context_length, config.width)
        elif config.positions == "sinusoidal":
            self.sinusoids = SinusoidalPositions(config.context_length, config.width)
        elif config.positions == "rotary":
            self.rotary = Rotary(config.context_length, config.head_dim, config.rope_theta, config.rope_scaling)
            if config.local_rope_theta is not None:
                self.local_rotary = Rotary(config.context_length, config.head_dim, config.local_rope_theta)
        norm = (config.width, config.norm, config.norm_epsilon, config.norm_bias)
        self.embedding_norm = make_norm(*norm) if config.embedding_norm else nn.Identity()
        self.drop = nn.Dropout(0.0)
        self.blocks = nn.ModuleList(Block(config, layer, causal, cross) for layer in range(config.layers))
        self.norm = nn.Identity() if config.post_norm else make_norm(*norm)

    def run(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        state: KeyValueState | PackedState | None = None,
        real: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        added: Tensor | None = None,
    ) -> Tensor:
        """The last hidden state, (B, T, D), of token ids (B, T).

        positions (B, T) default to 0, 1, … after what `state` holds; segments (B, T) keep attention inside documents; `real`
        (B, T with what `state` holds) is False where a row holds padding. `memory` (B, S, D), with its mask (B, 1, 1, S), is
        what cross-attention looks up in; a state holds its own. `added` (B, T, D) is added to the embeddings.
        """
        length = inputs.size(1)
        masks: dict[int, Any]
        if isinstance(state, PackedState):
            positions, masks = state.positions(), self._masks_of_parts(state)
        else:
            seen = state.length if state is not None else 0
            self._check_room(seen + length)
            places = None if state is None else state.places(length)
            if positions is None:
                positions = torch.arange(seen, seen + length, device=inputs.device)[None] if places is None else places
            masks = self._masks(length, seen + length, segments, real, places, inputs.device)
        rotations = self._rotations(positions)
        x = self.drop(self._embedded(inputs, positions, added))
        recompute = self.recompute and torch.is_grad_enabled()
        compiled = self.compiled if self.training else None
        for layer, block in enumerate(self.blocks):
            window = self.shape.window(layer)
            arguments = (x, rotations[bool(window)], masks[window], state, layer, memory, memory_mask)
            call = block if compiled is None else partial(compiled, block)
            x = checkpoint(call, *arguments, use_reentrant=False) if recompute else call(*arguments)
        if state is not None:
            state.advance(length)
        return self.norm(x)

    def read(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        state: KeyValueState | PackedState | None = None,
        padding: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """The same where rows are padded at the left, by `padding` (B,) tokens, which a state remembers."""
        if state is not None:
            padding = state.padding = padding if padding is not None else state.padding
        real = None
        if padding is not None:
            assert not isinstance(state, PackedState)
            seen = state.length if state is not None else 0
            places = torch.arange(seen + inputs.size(1), device=inputs.device)
            real = places >= padding[:, None]  # (B, keys)
            if positions is None:
                positions = (places[seen:] - padding[:, None]).clamp(min=0)
        return self.run(inputs, positions, segments, state, real, memory, memory_mask)

    def _embedded(self, inputs: Tensor, positions: Tensor, added: Tensor | None) -> Tensor:
        """Embeddings with what tells their position, (B, T, D)."""
        x = self.embedding(inputs)
        if self.shape.embedding_scale:
            x = x * self.shape.width**0.5
        if self.shape.positions == "learned":
            x = x + self.position_embedding(positions + self.shape.position_offset)
        elif self.shape.positions == "sinusoidal":
            x = x + self.sinusoids(positions)
        if added is not None:
            x = x + added
        return self.embedding_norm(x)

    def _rotations(self, positions: Tensor) -> tuple[Rotation | None, Rotation | None]:
        """The turns of layers that see all, and of those with a window."""
        if self.shape.positions != "rotary":
            return None, None
        everywhere = self.rotary(positions)
        return everywhere, everywhere if self.shape.local_rope_theta is None else self.local_rotary(positions)

    def _check_room(self, tokens: int) -> None:
        """Raise ModelError where a row would have more tokens than the model's context."""
        if tokens > self.shape.context_length:
            raise ModelError(
                f"{tokens} tokens are more than the model's context of {self.shape.context_length}; "
                "give a shorter text, or a model trained with a longer context"
            )

    def _masks_of_parts(self, state: PackedState) -> dict[int, list[Tensor | None]]:
        """For each window that a layer has, the mask of each part."""
        of_parts = []
        for part in state.parts:
            keys = part.view.length + part.tokens
            self._check_room(keys)
            of_parts.append(self._masks(part.tokens, keys, None, None, part.view.places(part.tokens), part.view.device))
        return {window: [masks[window] for masks in of_parts] for window in of_parts[0]}

    def _flexible(self, length: int, segments: Tensor | None, window: int, device: torch.device) -> Any:
        """The mask of a window as a rule; None where causality is all of it, which each kernel knows."""
        return flexible_mask(length, device, self.causal, segments, window) if window or segments is not None else None

    def _masks(
        self,
        queries: int,
        keys: int,
        segments: Tensor | None,
        real: Tensor | None,
        places: Tensor | None,
        device: torch.device,
    ) -> dict[int, Any]:
        """The mask of each window that a layer has."""
        if self.flexible and self.training and queries == keys and real is None and places is None:
            return {window: self._flexible(keys, segments, window, device) for window in set(self.shape.windows) or {0}}
        masks = {
            window: attention_mask(queries, keys, device, self.causal, segments, window, real, places)
            for window in set(self.shape.windows) or {0}
        }
        if self.shape.positions != "alibi":
            return masks
        place = torch.arange(keys, device=device)
        asking = place[None, keys - queries :] if places is None else places
        bias = alibi_bias(self.shape.heads, asking, place)
        if self.causal:
            bias = bias.masked_fill(place > asking[:, None, :, None], -torch.inf)
        return {window: bias if mask is None else bias.masked_fill(~mask, -torch.inf) for window, mask in masks.items()}
