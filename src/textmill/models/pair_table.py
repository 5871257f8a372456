"""A table of pairs of tokens: there are too many for a row each, so a pair's row is a hash of it."""

from torch import Tensor

NOTHING = -1  # the neighbour of a text's first and of its last token


def pair_rows(one: Tensor, other: Tensor | int, rows: int, which: int = 0) -> Tensor:
    """The row, of so many, of each pair of token ids (B, T), or NOTHING; `which` tells kinds of pairs apart. A
    multiplicative hash (Knuth), whose product may overflow."""
    mixed = ((one + 1) * 2_654_435_761 + (other + 1) * 40_503 + which * 97_003) * 2_246_822_519
    return (mixed >> 20).remainder(rows)
