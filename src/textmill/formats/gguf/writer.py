"""GGUF files, version 3: a header, then the tensors, each at a multiple of 32 bytes. The same input gives the same bytes."""

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ...errors import ModelError
from ...files import atomic_file
from .quantise import quantise
from .reader import DEFAULT_ALIGNMENT, MAGIC
from .tensor_types import TensorType
from .values import Value, encode_string, encode_value

VERSION = 3


def write_gguf(
    path: str | Path,
    metadata: Mapping[str, Value],
    stored: Mapping[str, tuple[TensorType, tuple[int, ...]]],
    read: Callable[[str], torch.Tensor],
) -> None:
    """Write tensors, whose types and shapes are `stored` by name, one after the other as `read` gives them, and the metadata,
    in the order that they have; atomically.

    Raises ModelError, before anything is written, where a tensor's rows aren't whole blocks; and for numbers that a type
    can't hold.
    """
    problems = [
        f"weight {name} has rows of {shape[-1]} numbers; {kind.name} has blocks of {kind.block_size}, so take F16, BF16 or F32"
        for name, (kind, shape) in stored.items()
        if shape[-1] % kind.block_size
    ]
    if problems:
        raise ModelError(*problems)
    header = [MAGIC, struct.pack("<IQQ", VERSION, len(stored), len(metadata))]
    header += [encode_string(key) + encode_value(value) for key, value in metadata.items()]
    offset = 0
    for name, (kind, shape) in stored.items():
        sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        header.append(encode_string(name) + sizes + struct.pack("<IQ", kind.number, offset))
        offset += _aligned(math.prod(shape) // kind.block_size * kind.block_bytes)
    with atomic_file(path) as stream:
        written = stream.write(b"".join(header))
        stream.write(bytes(_aligned(written) - written))
        for name, (kind, shape) in stored.items():
            tensor = read(name)
            assert tuple(tensor.shape) == shape
            raw = quantise(tensor.detach().float().contiguous().view(-1).numpy(), kind, name)
            stream.write(raw)
            stream.write(bytes(_aligned(raw.size) - raw.size))


def _aligned(size: int) -> int:
    return math.ceil(size / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
