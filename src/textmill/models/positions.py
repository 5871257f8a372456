"""Where a token stands, told by adding something to its embedding or to its attention scores. Rotary positions: rotary.py."""

import math

import torch
from torch import Tensor, nn


def without_memory() -> bool:
    """Whether tensors that are made now have no memory, so that tables have nothing to hold; for their formulas torch would
    load its compiler."""
    return torch.get_default_device().type == "meta"


class SinusoidalPositions(nn.Module):
    """Sines of falling frequency in the first half of the width, cosines in the second (Vaswani et al. 2017, whose pairs are
    interleaved; in halves as Marian has them)."""

    def __init__(self, context_length: int, width: int):
        super().__init__()
        if without_memory():
            table = torch.empty(context_length, width)
        else:
            angles = torch.arange(context_length, dtype=torch.float64)[:, None] / 10_000.0 ** (
                torch.arange(0, width, 2, dtype=torch.float64) / width
            )
            table = torch.cat([angles.sin(), angles.cos()], dim=-1).float()
        self.register_buffer("table", table)  # saved with the weights, as Marian's are
        self.table: Tensor

    def forward(self, positions: Tensor) -> Tensor:
        """positions (B or 1, T) -> (B or 1, T, width)."""
        return self.table[positions]


def alibi_slopes(heads: int) -> Tensor:
    """How much each head dislikes distance, (H,): a geometric series that begins at 2^(-8/H) (Press et al. 2021).

    For a number of heads that is no power of two: the series of the next smaller one, then every other of the next larger.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (n + 1) / power) for n in range(power)]
    slopes += [2 ** (-4 * (2 * n + 1) / power) for n in range(heads - power)]
    return torch.tensor(slopes)


def alibi_bias(heads: int, query_positions: Tensor, key_positions: Tensor) -> Tensor:
    """What ALiBi adds to attention's scores: query positions (B or 1, T), key positions (S,) -> (B or 1, H, T, S)."""
    distance = (query_positions[:, None, :, None] - key_positions).abs()  # (B or 1, 1, T, S)
    return -(alibi_slopes(heads).to(distance.device)[:, None, None] * distance)
