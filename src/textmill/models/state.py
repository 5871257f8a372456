"""What a decoder remembers of the tokens it has read: the keys and values of each layer, for N rows.

The buffers grow by doubling, so that a token costs no copy of what came before it.
"""

import torch
from torch import Tensor


class KeyValueState:
    """Keys and values of `rows` sequences of equal length, up to `capacity` tokens."""

    def __init__(self, layers: int, rows: int, heads: int, head_dim: int, capacity: int):
        self.length = 0
        self.capacity = capacity
        self._shape = (rows, heads, head_dim)
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add a layer's keys and values (N, K, T, d); returns all of that layer's, (N, K, length + T, d).

        `length` itself moves on once all layers have been given theirs: see `advance`.
        """
        end = self.length + key.size(2)
        self._keys[layer] = self._room(self._keys[layer], key, end)
        self._values[layer] = self._room(self._values[layer], value, end)
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, tokens: int) -> None:
        """Count `tokens` more as read, in every layer."""
        self.length += tokens

    def _room(self, buffer: Tensor | None, like: Tensor, end: int) -> Tensor:
        if buffer is not None and buffer.size(2) >= end:
            return buffer
        rows, heads, head_dim = self._shape
        size = min(self.capacity, max(64, 2 * end))
        grown = torch.empty(rows, heads, size, head_dim, dtype=like.dtype, device=like.device)
        if buffer is not None:
            grown[:, :, : self.length] = buffer[:, :, : self.length]
        return grown
