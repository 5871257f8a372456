"""A shuffled order that is a function, not a list: place `i` of epoch `e` under a seed, in constant memory.

A Feistel network permutes the next larger power of four; what falls outside is sent through again until it is inside
(cycle walking; Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains").
"""

import numpy as np

ROUNDS = 6  # four already hide the order (Luby & Rackoff 1988); small domains profit from two more
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 0xFFFFFFFFFFFFFFFF


def mix(*numbers: int) -> int:
    """A 64-bit number that looks random and depends on all the given ones and their order."""
    state = np.zeros(1, dtype=np.uint64)
    for number in numbers:
        state = _scramble(state ^ np.uint64(number & _WORD))
    return int(state[0])


def permute(indices: np.ndarray, size: int, seed: int, epoch: int) -> np.ndarray:
    """Where each of `indices`, (n,) within [0, size), stands in the order of this seed and epoch: (n,) int64."""
    half_bits = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    keys = [np.uint64(mix(seed, epoch, round)) for round in range(ROUNDS)]
    placed = _feistel(np.asarray(indices, dtype=np.uint64), half_bits, keys)
    while (outside := placed >= size).any():
        placed[outside] = _feistel(placed[outside], half_bits, keys)
    return placed.astype(np.int64)


def _feistel(values: np.ndarray, half_bits: np.uint64, keys: list[np.uint64]) -> np.ndarray:
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = values >> half_bits, values & mask
    for key in keys:
        left, right = right, left ^ (_scramble(right ^ key) & mask)
    return (left << half_bits) | right


def _scramble(values: np.ndarray) -> np.ndarray:
    """Steele, Lea & Flood 2014 (SplitMix64): every bit of the input moves every bit of the output."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(_GOLDEN)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
