"""The weights of a folder: one safetensors file or several with an index, looked at by their headers, read one by one."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..errors import ModelError
from ..files import read_foreign_json
from .recognise import PICKLES, conversion
from .safetensors_header import ITEM_BYTES, StoredTensor, read_header

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
Advance = Callable[[int], None]
Stored = tuple[str, tuple[int, ...]]
"""Number format and shape of a tensor that is to be written."""


@dataclass(frozen=True)
class Weights:
    """The tensors of a folder by name, and the file that each is in."""

    folder: Path
    tensors: Mapping[str, StoredTensor]
    files: Mapping[str, Path]

    def bytes(self) -> int:
        """How large the files are together."""
        return sum(path.stat().st_size for path in set(self.files.values()))

    def read(self, name: str) -> Tensor:
        """One tensor, in the number format that it is stored in."""
        place, path = self.tensors[name], self.files[name]
        raw = torch.empty(place.end - place.begin, dtype=torch.uint8)
        try:
            with open(path, "rb", buffering=0) as stream:
                stream.seek(place.begin)
                whole = _fill(stream, raw)
        except OSError as error:
            raise ModelError(f"{path} can't be read: {error.strerror}") from error
        if not whole:
            raise ModelError(f"{path} was cut while it was read; fetch it anew")
        return raw.view(DTYPES[place.dtype]).view(place.shape)


def _fill(stream: IO[bytes], target: Tensor) -> bool:
    """Read into all of `target`, in as many reads as the system takes; whether there was enough."""
    room = memoryview(target.numpy().data).cast("B")
    while room and (count := stream.readinto(room)):  # type: ignore[attr-defined]
        room = room[count:]
    return not room


def open_weights(folder: Path) -> Weights:
    """Read the headers of a folder's weights. Raises ModelError, with all that is wrong, where they can't be used."""
    if (folder / WEIGHTS_FILE).is_file():
        tensors = read_header(folder / WEIGHTS_FILE)
        return Weights(folder, tensors, dict.fromkeys(tensors, folder / WEIGHTS_FILE))
    if (folder / INDEX_FILE).is_file():
        return _open_shards(folder, _read_index(folder / INDEX_FILE))
    pickled = sorted(path for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        raise ModelError(f"{folder} holds no {WEIGHTS_FILE}, and {pickled[0].name} {conversion(pickled[0])}")
    raise ModelError(f"{folder} holds no {WEIGHTS_FILE}; fetch it anew")


def _read_index(path: Path) -> dict[str, str]:
    """Which file each tensor is in."""
    index = read_foreign_json(path, ModelError)
    if not isinstance(index, dict) or "weight_map" not in index:
        raise ModelError(f"{path} holds no weight_map; fetch it anew")
    places = index["weight_map"]
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ModelError(f"{path}: weight_map must name a file for each tensor; fetch it anew")
    outside = sorted({name for name in places.values() if Path(name).name != name or "\\" in name or name in ("", "..")})
    if outside:
        raise ModelError(*(f"{path}: {name!r:.80} is no file in this folder; nothing outside it is read" for name in outside))
    return places


def _open_shards(folder: Path, places: Mapping[str, str]) -> Weights:
    problems: list[str] = []
    tensors: dict[str, StoredTensor] = {}
    files: dict[str, Path] = {}
    for name in sorted(set(places.values())):
        path = folder / name
        if not path.is_file():
            problems.append(f"{path}, which {INDEX_FILE} names, isn't there; fetch it")
            continue
        found = read_header(path)
        problems += [f"{path} holds {tensor}, which {files[tensor]} holds as well" for tensor in found.keys() & files.keys()]
        problems += [f"{path} holds {tensor}, which {INDEX_FILE} doesn't name" for tensor in found.keys() - places.keys()]
        absent = [tensor for tensor, file in places.items() if file == name and tensor not in found]
        problems += [f"{path} lacks {tensor}, which {INDEX_FILE} says is in it" for tensor in absent]
        tensors |= found
        files |= dict.fromkeys(found, path)
    if problems:
        raise ModelError(*sorted(problems))
    return Weights(folder, tensors, files)


def write_weights(
    folder: Path,
    stored: Mapping[str, Stored],
    read: Callable[[str], Tensor],
    shard_bytes: int = SHARD_BYTES,
    advance: Advance | None = None,
) -> None:
    """Write tensors, whose number formats and shapes are `stored` by name, one after the other as `read` gives them.

    Above `shard_bytes` they go into several files with an index. `advance` is called with the bytes written.
    """
    shards = _shards(stored, shard_bytes)
    names = [f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)]
    for name, shard in zip(names if len(shards) > 1 else [WEIGHTS_FILE], shards):
        _write_file(folder / name, {tensor: stored[tensor] for tensor in shard}, read, advance)
    if len(shards) > 1:
        places = {tensor: name for name, shard in zip(names, shards) for tensor in shard}
        index: dict[str, Any] = {"metadata": {"total_size": total_bytes(stored)}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def total_bytes(stored: Mapping[str, Stored]) -> int:
    """How much room tensors of these number formats and shapes take."""
    return sum(_bytes(*one) for one in stored.values())


def _shards(stored: Mapping[str, Stored], most: int) -> list[list[str]]:
    """The tensors in their order, parted where a file would grow beyond `most` bytes."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, one in stored.items():
        if shards[-1] and size + _bytes(*one) > most:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += _bytes(*one)
    return shards


def _write_file(
    path: Path,
    stored: Mapping[str, Stored],
    read: Callable[[str], Tensor],
    advance: Advance | None,
) -> None:
    # Wide numbers first, so that each tensor is aligned to its own.
    order = sorted(stored, key=lambda name: (-ITEM_BYTES[stored[name][0]], name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        end = offset + _bytes(*stored[name])
        header[name] = {"dtype": stored[name][0], "shape": stored[name][1], "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            dtype, shape = stored[name]
            tensor = read(name).to(DTYPES[dtype])
            assert tuple(tensor.shape) == shape
            stream.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
            if advance:
                advance(tensor.numel() * tensor.element_size())


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return ITEM_BYTES[dtype] * math.prod(shape)
