"""Attention whose mask is a rule instead of a table: torch's flexible attention (Dong et al. 2024), which skips what no query
of a block sees. On a GPU it is what packed documents and windows are fastest by, since flash attention takes no mask; on a CPU
torch has no gradient of it.
"""

import functools
from typing import Any

import torch
from torch import Tensor


def flexible_mask(length: int, device: torch.device, causal: bool, segments: Tensor | None, window: int) -> Any:
    """What `attention_mask` gives of whole rows, as torch's BlockMask; `segments` (B, length), or one rule for all rows."""
    from torch.nn.attention.flex_attention import create_block_mask  # with torch's compiler, which takes a second to import

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = key <= query if causal else key == key
        if window:
            seen = seen & (query - key < window if causal else (query - key).abs() <= window // 2)
        return seen if segments is None else seen & (segments[row, query] == segments[row, key])

    return create_block_mask(sees, None if segments is None else len(segments), None, length, length, device=device)


def flexible_attention(query: Tensor, key: Tensor, value: Tensor, mask: Any) -> Tensor:
    """What `fused_attention` gives with such a mask. query (B, H, T, d), key and value (B, K, S, d) with H a multiple of K."""
    attend = _compiled() if query.is_cuda and not torch.compiler.is_compiling() else _plain()
    same = query.to(value.dtype), key.to(value.dtype), value  # which autocast doesn't see to here
    return attend(*same, block_mask=mask, enable_gqa=query.size(1) != key.size(1))


def _plain() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@functools.cache
def _compiled() -> Any:
    """Uncompiled it would make a table of all scores."""
    return torch.compile(_plain())
