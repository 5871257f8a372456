"""GGUF files, version 3: a header, then the tensors, each at a multiple of 32 bytes. The same input gives the same bytes."""

import math
import struct
from collections.abc import Mapping
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
    tensors: Mapping[str, torch.Tensor],
    kinds: Mapping[str, TensorType],
) -> None:
    """Write the tensors, each as its type in `kinds`, and the metadata, in the order that they have; atomically.

    Raises ModelError, before anything is written, where a tensor's rows aren't whole blocks; and for numbers that a type
    can't hold.
    """
    problems = [
        f"weight {name} has rows of {tensor.shape[-1]} numbers; {kinds[name].name} has blocks of {kinds[name].block_size}, "
        "so take F16, BF16 or F32"
        for name, tensor in tensors.items()
        if tensor.shape[-1] % kinds[name].block_size
    ]
    if problems:
        raise ModelError(*problems)
    header = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    header += [encode_string(key) + encode_value(value) for key, value in metadata.items()]
    offset = 0
    for name, tensor in tensors.items():
        kind, shape = kinds[name], tuple(reversed(tensor.shape))
        header.append(encode_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind.number, offset))
        offset += _aligned(tensor.numel() // kind.block_size * kind.block_bytes)
    with atomic_file(path) as stream:
        written = stream.write(b"".join(header))
        stream.write(bytes(_aligned(written) - written))
        for name, tensor in tensors.items():
            raw = quantise(tensor.detach().float().contiguous().view(-1).numpy(), kinds[name], name)
            stream.write(raw)
            stream.write(bytes(_aligned(raw.size) - raw.size))


def _aligned(size: int) -> int:
    return math.ceil(size / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
