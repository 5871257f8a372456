"""From float32 numbers to the bytes of a GGUF tensor, to the bit as llama.cpp's own conversion rounds.

A block of 32 numbers shares one scale, that of its largest number.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ...errors import ModelError
from .dequantise import Bytes, Floats
from .tensor_types import TensorType

PIECE_NUMBERS = 1 << 18


def quantise(numbers: Floats, kind: TensorType, name: str) -> Bytes:
    """The bytes of the numbers (N,), N a multiple of the type's block_size; `name` is the tensor's, for errors.

    Raises ModelError for numbers that the type can't hold: infinite or none at all, or beyond its range.
    """
    encode = _ENCODERS[kind.name]
    pieces = []
    for start in range(0, len(numbers), PIECE_NUMBERS):
        piece = numbers[start : start + PIECE_NUMBERS]
        with np.errstate(all="ignore"):  # what comes of it is looked at below
            pieces.append(encode(piece.reshape(-1, kind.block_size)))
        if kind.name != "F32":
            _check_finite(piece, pieces[-1], kind, name)
    return np.concatenate(pieces).reshape(-1)


def _check_finite(piece: Floats, encoded: Bytes, kind: TensorType, name: str) -> None:
    if not np.isfinite(piece).all():
        raise ModelError(f"weight {name} holds infinities or NaN, which {kind.name} can't; a training that broke off?")
    leading = np.ascontiguousarray(encoded[:, :2])  # the number itself, or its block's scale
    exponent = 0x7F80 if kind.name == "BF16" else 0x7C00
    if (leading.view("<u2") & exponent == exponent).any():
        raise ModelError(f"weight {name} holds numbers up to {np.abs(piece).max():.3g}, which {kind.name} can't; take F32")


def _f32(blocks: Floats) -> Bytes:
    return _as_bytes(blocks.astype("<f4"))


def _f16(blocks: Floats) -> Bytes:
    return _as_bytes(blocks.astype("<f2"))


def _bf16(blocks: Floats) -> Bytes:
    """The upper half of a float32, rounded to the nearest, halfway to the even one."""
    bits = blocks.view(np.uint32).astype(np.uint64)
    return _as_bytes((bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2"))


def _q8_0(blocks: Floats) -> Bytes:
    """A scale that makes the largest number 127, then the integers; halves are rounded away from zero."""
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    exact = (blocks * _inverse(scale)).astype(np.float64)
    return np.concatenate([_f16(scale), np.trunc(exact + np.copysign(0.5, exact)).astype(np.int8).view(np.uint8)], axis=1)


def _q4_0(blocks: Floats) -> Bytes:
    """A scale that makes the number with the largest magnitude −8, then q + 8 in four bits, no more than 15."""
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = largest / np.float32(-8)
    integers = np.minimum((blocks * _inverse(scale) + np.float32(8.5)).astype(np.uint8), 15)
    return np.concatenate([_f16(scale), integers[:, :16] | integers[:, 16:] << 4], axis=1)


def _inverse(scale: Floats) -> Floats:
    """1 / scale, and 0 for 0."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def _as_bytes(numbers: npt.NDArray[np.generic]) -> Bytes:
    return np.ascontiguousarray(numbers).view(np.uint8)


_ENCODERS: dict[str, Callable[[Floats], Bytes]] = {"F32": _f32, "F16": _f16, "BF16": _bf16, "Q8_0": _q8_0, "Q4_0": _q4_0}
