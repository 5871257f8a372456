"""Packed weights in a file, which is mapped into memory: made once, and then there at once, shared by all who read them.

The tensors come first, each from a multiple of 64 bytes on, then what they are, as JSON, and last how long that is. A file that
was cut, changed, or made of other weights or by another version of the packing, is refused; the caller makes it anew.
"""

import dataclasses
import hashlib
import json
import mmap
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import TextmillError
from ..files import atomic_file, fingerprint
from . import matrices, packing
from .packing import Packed

ENDING = b"textmill packed\n"
ALIGNMENT = 64
CHECKED = 1 << 22  # bytes at a time
Part = Packed | Tensor


class Unfit(TextmillError):
    """A file of packed weights can't be used, and why."""


def version() -> str:
    """That of the packing: another wherever the code that packs is another."""
    sources = (Path(str(module.__file__)).read_bytes() for module in (packing, matrices))
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


def write(path: Path, key: Mapping[str, Any], parts: Iterable[tuple[str, Part]]) -> None:
    """Write parts one after the other, atomically, with a `key` that says what they were made of. Raises OSError or RunError
    where they can't be."""
    entries: dict[str, Any] = {}
    with atomic_file(path) as stream:
        for name, part in parts:
            tensors = _tensors(part)
            entry: dict[str, Any] = {}
            if isinstance(part, Packed):
                fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
                entry["packed"] = {name: value for name, value in fields.items() if name not in tensors}
            for kind, tensor in tensors.items():
                raw = tensor.contiguous().view(torch.uint8).flatten()
                begin = stream.tell()
                stream.write(raw.numpy().data)
                stream.write(bytes(-len(raw) % ALIGNMENT))
                dtype = str(tensor.dtype).removeprefix("torch.")
                entry[kind] = {
                    "dtype": dtype,
                    "shape": list(tensor.shape),
                    "begin": begin,
                    "sum": sum(map(_sum, raw.split(CHECKED))) % 2**64,
                }
            entries[name] = entry
        contents = {"version": version(), "key": key, "entries": entries}
        written = json.dumps({**contents, "fingerprint": fingerprint(contents)}).encode()
        stream.write(written + struct.pack("<Q", len(written)) + ENDING)


def read(path: Path, agrees: Callable[[Any], bool]) -> tuple[dict[str, Any], dict[str, Part]]:
    """The key and the parts of a file, mapped into memory. Raises Unfit where it can't be used, or its key doesn't agree."""
    if not path.is_file():  # opening a pipe would wait for who writes into it
        raise Unfit("it is no file")
    try:
        with open(path, "rb") as stream:
            pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:  # ValueError: it is empty
        raise Unfit(f"it can't be read ({error})") from error
    contents = _contents(pages)
    if contents["version"] != version():
        raise Unfit("it was made by another version")
    if not agrees(contents["key"]):
        raise Unfit("it was made of other weights")
    parts: dict[str, Part] = {}
    for name, entry in contents["entries"].items():
        tensors: dict[str, Any] = {kind: _mapped(pages, **place) for kind, place in entry.items() if kind != "packed"}
        parts[name] = Packed(**entry["packed"], **tensors) if "packed" in entry else tensors["plain"]
    return contents["key"], parts


def _contents(pages: mmap.mmap) -> dict[str, Any]:
    """What the end of a file says of it. Raises Unfit."""
    tail = len(ENDING) + 8
    if pages[-len(ENDING) :] != ENDING or len(pages) < tail:
        raise Unfit("it was cut, or is no file of packed weights")
    (length,) = struct.unpack("<Q", pages[-tail : -len(ENDING)])
    try:
        contents = json.loads(pages[max(0, len(pages) - tail - length) : -tail])
        if contents.pop("fingerprint") == fingerprint(contents):
            return contents
    except (ValueError, KeyError, AttributeError, RecursionError):
        pass
    raise Unfit("it is damaged")


def _mapped(pages: mmap.mmap, dtype: str, shape: list[int], begin: int, sum: int) -> Tensor:
    """A tensor of a file. Raises Unfit where it isn't as it was written."""
    kind = getattr(torch, dtype)
    count = torch.Size(shape).numel()
    if not count:
        return torch.empty(shape, dtype=kind)
    tensor = torch.frombuffer(pages, dtype=kind, offset=begin, count=count).view(shape)
    found = 0
    for raw in tensor.view(torch.uint8).flatten().split(CHECKED):
        found += _sum(raw)
    if found % 2**64 != sum:
        raise Unfit("it is damaged")
    if hasattr(mmap, "MADV_DONTNEED"):  # what was only checked takes no memory until it is needed
        start = begin // mmap.PAGESIZE * mmap.PAGESIZE
        pages.madvise(mmap.MADV_DONTNEED, start, begin + tensor.nbytes - start)
    return tensor


def _sum(raw: Tensor) -> int:
    """Of bytes (N,), eight at a time: it is there at the speed of the memory, and damage by chance changes it."""
    whole = len(raw) // 8 * 8
    return int(raw[:whole].view(torch.int64).sum()) + int(raw[whole:].sum())


def _tensors(part: Part) -> dict[str, Tensor]:
    """A part's tensors: of a matrix by their fields' names."""
    if isinstance(part, Tensor):
        return {"plain": part}
    fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return {name: value for name, value in fields.items() if isinstance(value, Tensor)}
