"""Scaled dot-product attention, softmax(QKᵀ/√d)V, by torch's fused kernel, and by an eager path that shows its weights.

Both give the same numbers (within floating-point tolerance; tests/models/test_attention.py). Masks are made here from
segments and lengths, never by a caller.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_mask(queries: int, keys: int, segments: Tensor | None, device: torch.device) -> Tensor | None:
    """Which key each query may see, as booleans (1 or B, 1, queries, keys); None where plain causality says all.

    The queries are the last `queries` of the `keys` positions. With `segments` (B, keys) attention stays inside a
    segment, so that documents packed into one row don't see each other.
    """
    if segments is None and (queries == 1 or queries == keys):
        return None
    key_position = torch.arange(keys, device=device)
    query_position = key_position[keys - queries :]
    mask = (key_position <= query_position[:, None])[None, None]  # (1, 1, queries, keys)
    if segments is not None:
        same = segments[:, None, keys - queries :, None] == segments[:, None, None, :]  # (B, 1, queries, keys)
        mask = mask & same
    return mask


def fused_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention by torch's own kernel. query (B, H, T, d), key and value (B, K, S, d) with H a multiple of K."""
    causal = mask is None and query.size(2) > 1
    grouped = query.size(1) != key.size(1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=grouped)


def eager_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same attention written out. Returns output (B, H, T, d) and weights (B, H, T, S), whose rows sum to one."""
    groups = query.size(1) // key.size(1)
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, H, T, S)
    if mask is None and query.size(2) > 1:
        length = query.size(2)
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
