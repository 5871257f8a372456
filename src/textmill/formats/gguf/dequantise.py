"""From a GGUF tensor's bytes to float32 numbers, piece by piece.

The layouts of the blocks are ggml's: a scale, for some a minimum too, and small integers, two to a byte or packed closer.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .tensor_types import TensorType

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
PIECE_BYTES = 1 << 20  # so much is decoded at a time; what it takes on the way is some ten times as much


def dequantise(raw: Bytes, kind: TensorType) -> Floats:
    """The numbers (N,) that `raw`, N / block_size blocks of block_bytes each, stands for."""
    blocks = raw.reshape(-1, kind.block_bytes)
    numbers = np.empty((len(blocks), kind.block_size), dtype=np.float32)
    step = PIECE_BYTES // kind.block_bytes
    with np.errstate(invalid="ignore", over="ignore"):  # an infinite scale is the file's own
        for start in range(0, len(blocks), step):
            numbers[start : start + step] = _DECODERS[kind.name](blocks[start : start + step])
    return numbers.reshape(-1)


def _f32(blocks: Bytes) -> Floats:
    return blocks.view("<f4")


def _f16(blocks: Bytes) -> Floats:
    return blocks.view("<f2").astype(np.float32)


def _bf16(blocks: Bytes) -> Floats:
    """The upper half of a float32."""
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q8_0(blocks: Bytes) -> Floats:
    """scale · q: a scale (float16), 32 signed bytes."""
    return _half(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def _q4_0(blocks: Bytes) -> Floats:
    """scale · (q − 8): a scale, 32 integers of 4 bits; the low halves of the 16 bytes come first."""
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]) - np.float32(8))


def _q4_1(blocks: Bytes) -> Floats:
    """scale · q + minimum: a scale, a minimum, 32 integers of 4 bits."""
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]) + _half(blocks, 2)


def _q4_k(blocks: Bytes) -> Floats:
    """scale · s · q − minimum · m: eight groups of 32 integers of 4 bits, each group with s and m of 6 bits.

    The twelve bytes of s and m: s of groups 0–3, m of groups 0–3, in six bits each; then the lower four bits of s and m of
    groups 4–7, whose upper two stand in the first eight bytes.
    """
    packed = blocks[:, 4:16]
    first, second, low = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, (low & 15) | (first >> 6 << 4)], axis=1)  # (N, 8)
    minima = np.concatenate([second & 63, (low >> 4) | (second >> 6 << 4)], axis=1)
    scales = _half(blocks, 0) * scales.astype(np.float32)
    minima = _half(blocks, 2) * minima.astype(np.float32)
    # Of each 32 bytes, the low halves are one group and the high halves the next.
    integers = np.stack([_nibbles(part) for part in np.split(blocks[:, 16:], 4, axis=1)], axis=1).reshape(-1, 8, 32)
    return (scales[:, :, None] * integers - minima[:, :, None]).reshape(-1, 256)


def _q6_k(blocks: Bytes) -> Floats:
    """scale · s · (q − 32): sixteen groups of 16 integers of 6 bits, each with a signed byte s.

    Twice 128 integers: their lower four bits in 64 bytes (low halves first), their upper two in 32 bytes, the first 32
    integers' lowest.
    """
    scales = _half(blocks, 208) * blocks[:, 192:208].view(np.int8).astype(np.float32)  # (N, 16)
    low = np.stack([blocks[:, :64] & 15, blocks[:, :64] >> 4, blocks[:, 64:128] & 15, blocks[:, 64:128] >> 4], axis=1)
    pairs = blocks[:, 128:192].reshape(-1, 2, 1, 32)
    high = pairs >> np.array([0, 2, 4, 6], dtype=np.uint8)[:, None] & 3  # (N, 2, 4, 32)
    integers = (low.reshape(-1, 256) | high.reshape(-1, 256) << 4).astype(np.float32) - np.float32(32)
    return (scales[:, :, None] * integers.reshape(-1, 16, 16)).reshape(-1, 256)


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 at byte `at` of each block, (N, 1)."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> Floats:
    """(N, B) bytes -> (N, 2 · B) numbers from 0 to 15: all low halves, then all high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)


_DECODERS: dict[str, Callable[[Bytes], Floats]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q4_K": _q4_k,
    "Q6_K": _q6_k,
}
