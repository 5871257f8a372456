"""Attention is softmax(QKᵀ/√d)V, head by head, on both paths."""

import math

import pytest
import torch

from textmill.models.attention import KERNELS, attention_mask, attention_weights, eager_attention, fused_attention


def written_out(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """The formula with loops over batch, head and position: query (B, H, T, d), key and value (B, K, S, d)."""
    output = torch.zeros_like(query)
    group = query.size(1) // key.size(1)
    for b in range(query.size(0)):
        for head in range(query.size(1)):
            for t in range(query.size(2)):
                keys = [s for s in range(key.size(2)) if allowed[b, t, s]]
                scores = [float(query[b, head, t] @ key[b, head // group, s]) / math.sqrt(query.size(3)) for s in keys]
                total = sum(math.exp(score) for score in scores)
                for s, score in zip(keys, scores):
                    output[b, head, t] += math.exp(score) / total * value[b, head // group, s]
    return output


@pytest.mark.parametrize("heads, key_heads", [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("queries, keys", [(7, 7), (3, 7), (1, 7)])
@pytest.mark.parametrize("packed", [False, True])
def test_both_paths_are_the_formula(heads: int, key_heads: int, queries: int, keys: int, packed: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, heads, queries, 8, generator=generator)
    key, value = torch.randn(2, 2, key_heads, keys, 8, generator=generator)
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 2, 2]]) if packed else None
    allowed = torch.zeros(2, queries, keys, dtype=torch.bool)
    for b in range(2):
        for t in range(queries):
            for s in range(keys):
                position = keys - queries + t
                allowed[b, t, s] = s <= position and (segments is None or segments[b, s] == segments[b, position])
    mask = attention_mask(queries, keys, query.device, segments=segments)
    expected = written_out(query, key, value, allowed)
    weights = attention_weights(query, key, mask)
    torch.testing.assert_close(eager_attention(query, key, value, mask), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused_attention(query, key, value, mask), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, heads, queries))
    assert not weights[~allowed[:, None].expand_as(weights)].any()


@pytest.mark.parametrize("grouped", [1, 2])
def test_a_kernel_that_is_asked_for_gives_the_same_or_says_that_it_cannot(grouped: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 12, 16, generator=generator)
    key, value = (torch.randn(2, 4 // grouped, 12, 16, generator=generator) for _ in range(2))
    worked = 0
    for kernel in KERNELS:
        try:
            found = fused_attention(query, key, value, None, kernel=kernel)
        except RuntimeError as error:
            assert "kernel" in str(error).lower()
            continue
        worked += 1
        torch.testing.assert_close(found, eager_attention(query, key, value, None), rtol=1e-4, atol=1e-4)
    assert worked  # a CPU has flash
