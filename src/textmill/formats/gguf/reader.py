"""GGUF files, version 2 and 3, read with distrust: what they say is held against their size before anything is made of it.

The layout: a head with two counts; metadata, key by key; each tensor's name, shape, type and place; then the tensors' bytes.
Nothing is read into memory but what is asked for.
"""

import itertools
import math
import mmap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import ModelError
from .dequantise import dequantise
from .tensor_types import BY_NUMBER, READ, UNREAD, TensorType
from .values import Reading

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
LARGEST_ALIGNMENT = 1 << 16
# A header beyond these is no model's: a vocabulary of 260,000 tokens takes 16 MB, and 65,536 tensors are a thousand layers.
LARGEST_HEADER = 1 << 26
MOST_ENTRIES = 1 << 16
MOST_DIMENSIONS = 4
PROBLEMS_SHOWN = 8


@dataclass(frozen=True)
class TensorPlace:
    """One tensor in a file: its shape as torch has it (the format counts the other way round), and where its bytes are."""

    name: str
    kind: TensorType
    shape: tuple[int, ...]
    start: int
    size: int


class GgufFile:
    """A file whose header was found consistent. `metadata` holds its values; `tensor` reads the numbers of one tensor."""

    def __init__(self, data: mmap.mmap, metadata: dict[str, Any], places: dict[str, TensorPlace]):
        self.metadata, self.places = metadata, places
        self._data = data

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor in float32."""
        place = self.places[name]
        raw = np.frombuffer(self._data, dtype=np.uint8, count=place.size, offset=place.start)
        return torch.from_numpy(dequantise(raw, place.kind)).view(place.shape)


def read_gguf(path: str | Path) -> GgufFile:
    """Read the header of a GGUF file and check all of it. Raises ModelError that says what is wrong, and where."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            head = stream.read(len(MAGIC))
            if head != MAGIC:
                raise ModelError(f"{path} is no GGUF file: it begins with {head!r}, not with {MAGIC!r}")
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error
    reading = Reading(str(path), data, min(len(data), LARGEST_HEADER))
    reading.take(len(MAGIC), "the magic")
    version = reading.number("I", "the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        found = f"version {swapped}, big-endian" if swapped in VERSIONS else f"version {version}"
        raise ModelError(f"{path} is GGUF {found}; versions 2 and 3, little-endian, are read: convert it with llama.cpp")
    tensors = _count(reading, "tensors")
    metadata = _metadata(reading, _count(reading, "metadata entries"))
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 8 <= alignment <= LARGEST_ALIGNMENT or alignment & (alignment - 1):
        raise ModelError(f"{path}: general.alignment is {alignment!r}; a power of two from 8 to {LARGEST_ALIGNMENT} can be")
    described = [_describe(reading) for _ in range(tensors)]
    start = math.ceil(reading.position / alignment) * alignment
    places = _place(path, described, start, alignment, len(data))
    return GgufFile(data, metadata, places)


def _count(reading: Reading, what: str) -> int:
    count: int = reading.number("Q", f"the number of {what}")
    if count > MOST_ENTRIES:
        raise reading.fail(f"it says that it has {count:,} {what}; {MOST_ENTRIES:,} are the most that is read")
    return count


def _metadata(reading: Reading, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for number in range(1, count + 1):
        key = reading.string(f"key {number} of the metadata")
        if key in metadata:
            raise reading.fail(f"the key {_shown(key)} stands twice in the metadata")
        metadata[key] = reading.value(_shown(key))
    return metadata


def _describe(reading: Reading) -> tuple[str, tuple[int, ...], int, int]:
    """A tensor's name, shape as torch has it, type number and offset."""
    name = reading.string("a tensor's name")
    dimensions = reading.number("I", f"the number of dimensions of {_shown(name)}")
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise reading.fail(f"tensor {_shown(name)} has {dimensions:,} dimensions; 1 to {MOST_DIMENSIONS} can be")
    sizes = [reading.number("Q", f"the shape of {_shown(name)}") for _ in range(dimensions)]
    kind = reading.number("I", f"the type of {_shown(name)}")
    return name, tuple(reversed(sizes)), kind, reading.number("Q", f"the place of {_shown(name)}")


def _place(
    path: Path, described: list[tuple[str, tuple[int, ...], int, int]], start: int, alignment: int, file_size: int
) -> dict[str, TensorPlace]:
    """Where each tensor lies, once all are known to lie inside the file, aligned and apart."""
    problems = [
        f"tensor {_shown(name)} stands twice" for name, count in Counter(one[0] for one in described).items() if count > 1
    ]
    places = []
    for name, shape, number, offset in described:
        kind = BY_NUMBER.get(number)
        if kind is None:
            of_type = UNREAD.get(number, f"number {number}, which isn't known here")
            problems.append(f"tensor {_shown(name)} is of type {of_type}; read are {', '.join(READ)}")
        elif 0 in shape:
            problems.append(f"tensor {_shown(name)} has shape {shape}, which holds nothing")
        elif shape[-1] % kind.block_size:
            problems.append(
                f"tensor {_shown(name)} has rows of {shape[-1]:,} numbers; {kind.name} has blocks of {kind.block_size}"
            )
        elif offset % alignment:
            problems.append(f"tensor {_shown(name)} begins at {offset:,}, which isn't a multiple of {alignment}")
        else:
            size = math.prod(shape) // kind.block_size * kind.block_bytes
            places.append(TensorPlace(name, kind, shape, start + offset, size))
            if start + offset + size > file_size:
                problems.append(
                    f"tensor {_shown(name)} would end at byte {start + offset + size:,}, the file has {file_size:,}; it may be "
                    "truncated, fetch it anew"
                )
    ordered = sorted(places, key=lambda place: place.start)
    problems += [
        f"tensors {_shown(one.name)} and {_shown(other.name)} overlap"
        for one, other in itertools.pairwise(ordered)
        if one.start + one.size > other.start
    ]
    if problems:
        more = [f"{path}: and {len(problems) - PROBLEMS_SHOWN:,} more of this kind"] if len(problems) > PROBLEMS_SHOWN else []
        raise ModelError(*(f"{path}: {problem}" for problem in problems[:PROBLEMS_SHOWN]), *more)
    return {place.name: place for place in places}


def _shown(name: str) -> str:
    """A name that a file gives, fit for a line."""
    return repr(name if len(name) <= 64 else f"{name[:64]}…")
