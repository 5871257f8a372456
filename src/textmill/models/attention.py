"""Scaled dot-product attention, softmax(QKᵀ/√d)V, by torch's fused kernel, and by an eager path that shows its weights.

Both give the same numbers (within floating-point tolerance; tests/models/test_attention.py). Masks are made here from
segments, lengths and windows, never by a caller.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .config import TransformerConfig
from .flexible_attention import flexible_attention
from .fused import FusedOperations
from .normalization import RMSNorm
from .packed import PackedState
from .rotary import rotate
from .state import EncoderDecoderState, KeyValueState

KERNELS = {  # of torch's own, each by the name under which it can be asked for; "fused" is whichever torch picks
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
FLEXIBLE = "flexible"  # its masks are made by the stack: see flexible_attention.py
FEW_QUERIES = 8  # of a row, up to which reading the keys is what takes the time


def attention_mask(
    queries: int,
    keys: int,
    device: torch.device,
    causal: bool = True,
    segments: Tensor | None = None,
    window: int = 0,
    real: Tensor | None = None,
    places: Tensor | None = None,
) -> Tensor | None:
    """Which key each query may see, as booleans (1 or B, 1, queries, keys); None where it is all, or what causality allows.

    The queries are the last `queries` of the `keys` positions. With `segments` (B, keys) attention stays inside a
    segment, so that documents packed into one row don't see each other. `window`: see TransformerConfig; 0 is none.
    `real` (B, keys) is False where a row holds padding; padding sees itself, since a softmax over nothing is no number.
    `places` (B, queries) says where the queries stand, of rows whose keys end at unlike places; they are causal.
    """
    window = window if window and (window < keys if causal else window // 2 < keys - 1) else 0
    if places is not None:
        reach = places[:, None, :, None] - torch.arange(keys, device=device)  # (B, 1, queries, keys)
        return (reach >= 0) & (reach < window) if window else reach >= 0
    plain = segments is None and real is None and not window
    if plain and (not causal or queries == 1 or queries == keys):
        return None
    key_position = torch.arange(keys, device=device)
    query_position = key_position[keys - queries :, None]
    mask = key_position <= query_position if causal else torch.ones(queries, keys, dtype=torch.bool, device=device)
    if window:
        reach = query_position - key_position
        mask = mask & (reach < window if causal else reach.abs() <= window // 2)
    mask = mask[None, None]  # (1, 1, queries, keys)
    if segments is not None:
        same = segments[:, None, keys - queries :, None] == segments[:, None, None, :]  # (B, 1, queries, keys)
        mask = mask & same
    if real is not None:
        mask = mask & real[:, None, None, :] | (key_position == query_position)
    return mask


def fused_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool = True, kernel: str = "fused"
) -> Tensor:
    """Attention by torch's own kernel. query (B, H, T, d), key and value (B, K, S, d) with H a multiple of K.

    `mask`: booleans, or numbers to add to the scores; without one the last token sees all, and with `causal` the others
    what stands before them. Raises RuntimeError where the `kernel` of KERNELS that is asked for can't do it: flash, for
    instance, takes no mask.
    """
    if kernel in KERNELS:
        with sdpa_kernel(KERNELS[kernel]):
            return fused_attention(query, key, value, mask, causal)
    causal = causal and mask is None and bool(query.size(2) > 1)
    grouped = query.size(1) != key.size(1)
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(query.dtype)
    if grouped and not causal and query.size(2) <= FEW_QUERIES:
        return _grouped_attention(query, key, value, mask)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=grouped)


def _grouped_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """The same with the queries that share a key's head side by side, as one head's: each key is read once."""
    rows, heads, queries, width = query.shape
    groups = heads // key.size(1)
    side_by_side = query.reshape(rows, key.size(1), groups * queries, width)
    if mask is not None:
        of_heads = mask.size(1)  # one mask for all heads, or one each (ALiBi)
        shape = (mask.size(0), key.size(1) if of_heads > 1 else 1, groups, queries, mask.size(3))
        split = mask.view(mask.size(0), key.size(1), groups, queries, -1) if of_heads > 1 else mask[:, :, None]
        mask = split.expand(shape).reshape(shape[0], shape[1], groups * queries, shape[4])
    return F.scaled_dot_product_attention(side_by_side, key, value, attn_mask=mask).reshape(query.shape)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool = True) -> Tensor:
    """How much each query takes of each key, (B, H, T, S); rows sum to one."""
    groups = query.size(1) // key.size(1)
    if groups > 1:
        key = key.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, H, T, S)
    if mask is None and causal and query.size(2) > 1:
        length = query.size(2)
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(dim=-1)


def mixed(weights: Tensor, value: Tensor) -> Tensor:
    """weights (B, H, T, S) · value (B, K, S, d) -> (B, H, T, d)."""
    groups = weights.size(1) // value.size(1)
    return weights @ (value.repeat_interleave(groups, dim=1) if groups > 1 else value)


def eager_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool = True) -> Tensor:
    """What `fused_attention` gives, written out."""
    return mixed(attention_weights(query, key, mask, causal), value)


class Attention(nn.Module):
    """Self-attention with grouped queries (Ainslie et al. 2023) and, where the shape says so, normalised queries and keys
    (Henry et al. 2020). `eager` takes the written-out path, on which `pattern` is handed the weights."""

    def __init__(self, config: TransformerConfig, causal: bool):
        super().__init__()
        self.head_dim, self.causal = config.head_dim, causal
        query_width, key_width = config.heads * config.head_dim, config.key_value_heads * config.head_dim
        self.query = nn.Linear(config.width, query_width, bias=config.query_key_value_bias)
        self.key = nn.Linear(config.width, key_width, bias=config.query_key_value_bias)
        self.value = nn.Linear(config.width, key_width, bias=config.query_key_value_bias)
        self.output = nn.Linear(query_width, config.width, bias=config.attention_output_bias)
        normalised = config.query_key_norm
        self.query_norm = RMSNorm(config.head_dim, config.norm_epsilon) if normalised else nn.Identity()
        self.key_norm = RMSNorm(config.head_dim, config.norm_epsilon) if normalised else nn.Identity()
        self.pattern = nn.Identity()
        self.eager, self.kernel = False, "fused"
        self.fused: FusedOperations | None = None

    def heads(self, x: Tensor) -> Tensor:
        """(B, T, H · d) -> (B, T, H, d)."""
        return x.view(*x.shape[:2], -1, self.head_dim)

    def keys_and_values(self, source: Tensor, rotation: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """What a sequence (B, S, D) is looked up by, and what is found there: two of (B, K, S, d)."""
        key = self._turned(self.heads(self.key(source)), self.key_norm, rotation)
        return key, self.heads(self.value(source)).transpose(1, 2)

    def queries(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """What a sequence (B, T, D) looks for: (B, H, T, d)."""
        return self._turned(self.heads(self.query(x)), self.query_norm, rotation)

    def _turned(self, heads: Tensor, norm: nn.Module, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """Heads (B, T, H, d) -> (B, H, T, d), normalised and turned."""
        if self.fused is not None and not norm._forward_hooks and not norm._forward_pre_hooks:
            weight, epsilon = (norm.weight, norm.epsilon) if isinstance(norm, RMSNorm) else (None, 0.0)
            if (turned := self.fused.turned(heads, weight, epsilon, rotation)) is not None:
                return turned
        turned = norm(heads).transpose(1, 2)
        return turned if rotation is None else rotate(turned, *rotation)

    def found(self, query: Tensor, key: Tensor, value: Tensor, mask: Any) -> Tensor:
        """What queries (B, H, T, d) find in key and value (B, K, S, d): (B, T, H · d)."""
        if self.eager:
            found = mixed(self.pattern(attention_weights(query, key, mask, self.causal)), value)
        else:
            if self.fused is not None and mask is None and self.kernel == "fused":
                fused = self.fused.attention(query, key, value, self.causal and query.size(2) > 1)
                if fused is not None:
                    return fused
            if mask is not None and not isinstance(mask, Tensor):
                found = flexible_attention(query, key, value, mask)
            else:
                found = fused_attention(query, key, value, mask, self.causal, self.kernel)
        return found.transpose(1, 2).flatten(2)

    def attend(
        self, x: Tensor, key: Tensor, value: Tensor, rotation: tuple[Tensor, Tensor] | None, mask: Tensor | None
    ) -> Tensor:
        """x (B, T, D) looks up in key and value (B, K, S, d) -> (B, T, D)."""
        return self.output(self.found(self.queries(x, rotation), key, value, mask))

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        mask: Any,
        state: KeyValueState | PackedState | None,
        layer: int,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D), each token looking at the row's others that the mask lets it see. Of a packed state, the
        mask is a list with one for each part."""
        key, value = self.keys_and_values(x, rotation)
        if isinstance(state, PackedState):
            state.append(layer, key, value)
            query, found = self.queries(x, rotation), []
            for part, own_mask in zip(state.parts, mask, strict=True):
                known = part.view.reach(layer, part.tokens)
                found.append(self.found(part.taken(query), *known, own_mask).flatten(0, 1))
            return self.output(torch.cat(found)[None])
        if state is not None:
            key, value = state.append(layer, key, value)
        return self.attend(x, key, value, rotation, mask)


class CrossAttention(Attention):
    """Attention of one sequence to another, the memory: that of an encoder–decoder's second half to its first (Vaswani et al.
    2017). Positions aren't turned here, since the two sequences have none in common."""

    def __init__(self, config: TransformerConfig):
        super().__init__(config, causal=False)

    def forward(  # type: ignore[override]
        self, x: Tensor, memory: Tensor | None, mask: Tensor | None, state: EncoderDecoderState | None, layer: int
    ) -> Tensor:
        """x (B, T, D) looks up in memory (B, S, D), or in its keys and values where a state holds them -> (B, T, D)."""
        if state is not None:
            key, value = state.memory[layer]
        else:
            assert memory is not None
            key, value = self.keys_and_values(memory, None)
        return self.attend(x, key, value, None, mask)
