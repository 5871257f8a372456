"""The header of a safetensors file, read strictly: a lying one is refused in bounded time and memory, before a weight is read.

The safetensors library checks much of this as well; it takes the last of two entries of one name, and headers of 100 MB.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import strict_json

LARGEST_HEADER = 1 << 24  # bytes; some hundred thousand tensors
MOST_DIMENSIONS = 8
ITEM_BYTES = dict.fromkeys(("I64", "U64", "F64"), 8) | dict.fromkeys(("I32", "U32", "F32"), 4)
ITEM_BYTES |= dict.fromkeys(("I16", "U16", "F16", "BF16"), 2) | dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a file's header tells it: number format, shape, and where its bytes begin and end in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class _HeaderError(Exception):
    """What is wrong with a header."""


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file by name. Raises ModelError where the file can't be, or isn't, what its header says."""
    try:
        with open(path, "rb") as stream:
            size = path.stat().st_size
            (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))
            if size < 10 or length > size - 8:
                raise _HeaderError(f"it has {size:,} bytes, and its header would have {length:,}")
            if length > LARGEST_HEADER:
                raise _HeaderError(f"its header has {length:,} bytes; more than {LARGEST_HEADER:,} are no list of tensors")
            return _parsed(stream.read(length), 8 + length, size)
    except _HeaderError as error:
        raise ModelError(f"{path} can't be read as safetensors: {error}; it may be truncated, fetch it anew") from error
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error


def _parsed(text: bytes, start: int, size: int) -> dict[str, StoredTensor]:
    """The header's entries, which must fill the file from `start` to its end, each byte once."""
    try:
        entries = strict_json(text.decode())
    except (ValueError, RecursionError) as error:
        raise _HeaderError(f"its header is not JSON ({error!s:.100})") from error
    if not isinstance(entries, dict):
        raise _HeaderError("its header is no list of tensors")
    entries.pop("__metadata__", None)
    tensors = {name: _entry(name, entry, start) for name, entry in entries.items()}
    end = start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != end:
            how = "overlaps another tensor" if tensor.begin < end else "leaves a gap before it"
            raise _HeaderError(f"tensor {name!r:.80} {how}")
        end = tensor.end
    if end != size:
        raise _HeaderError(f"its tensors end at byte {end:,}, and it has {size:,}")
    return tensors


def _entry(name: str, entry: Any, start: int) -> StoredTensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _HeaderError(f"tensor {name!r:.80} has no dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _HeaderError(f"tensor {name!r:.80} has the number format {dtype!r:.40}, which isn't known here")
    if not _is_sizes(shape) or len(shape) > MOST_DIMENSIONS:
        raise _HeaderError(f"tensor {name!r:.80} has the shape {shape!r:.80}")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        raise _HeaderError(f"tensor {name!r:.80} of shape {shape!r:.80} would be at {offsets!r:.80}")
    return StoredTensor(dtype, tuple(shape), start + offsets[0], start + offsets[1])


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 1 << 62 for size in value)
