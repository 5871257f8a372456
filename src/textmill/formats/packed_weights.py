"""A model folder's weights packed for the kernels: mapped from a file beside it, which is made where it isn't there yet.

Torch's own weights of the layers are never made, so that a model takes the memory of its packed weights alone. The file lies
beside the folder's weights, or in the user's cache where nobody may write there.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import platformdirs
from torch import Tensor

from ..errors import TextmillError
from ..files import sha256_of_file
from ..models.language_model import LanguageModel
from ..native import sidecar
from ..native.matrices import packed_parts
from ..native.packing import Format

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kept:
    """Packed weights that lie in a file: the parts of a model, and the SHA-256 of each file of weights that they were made of,
    which was checked then and hasn't changed since."""

    parts: Mapping[str, sidecar.Part]
    hashes: Mapping[str, str]


def kept_weights(folder: Path, format: Format, say: Say) -> Kept | None:
    """The packed weights that are there already; None where there are none that fit. `say` is told why one doesn't."""
    for path in places(folder, format):
        if path.exists():
            try:
                return _read(path, folder, format)
            except sidecar.Unfit as error:
                say(f"{path}: {error}; it is made anew")
    return None


def make_weights(
    folder: Path,
    model: LanguageModel,
    tensors: Callable[[], Iterator[tuple[str, Tensor]]],
    format: Format,
    hashes: Mapping[str, str],
    say: Say,
) -> Mapping[str, sidecar.Part]:
    """Pack a folder's `tensors`, which have our names, into a file, and map it. Where none can be written, they are packed into
    memory, and `say` is told why."""
    why: Exception | None = None
    for path in places(folder, format):
        try:
            with _alone(path):
                with contextlib.suppress(sidecar.Unfit):
                    return _read(path, folder, format).parts  # another process has made it meanwhile
                stamps = {name: [*_stamp(folder / name), digest] for name, digest in _hashes(folder, hashes).items()}
                sidecar.write(path, {"format": format, "weights": stamps}, packed_parts(model, tensors(), format))
                return _read(path, folder, format).parts
        except (OSError, TextmillError) as error:
            why = error
    say(f"the packed weights can't be kept in a file, and are made each time: {why}")
    return dict(packed_parts(model, tensors(), format))


def places(folder: Path, format: Format) -> list[Path]:
    """Where a folder's packed weights may lie, the best first."""
    cache = platformdirs.user_cache_path("textmill") / "packed"
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    beside = [folder / f"model.{format}.packed"] if os.access(folder, os.W_OK) else []
    return [*beside, cache / f"{name}.{format}.packed"]


def _read(path: Path, folder: Path, format: Format) -> Kept:
    """The packed weights of a file. Raises Unfit where they aren't this folder's weights in this format."""
    key, parts = sidecar.read(path, lambda key: key["format"] == format and _same(folder, key["weights"]))
    return Kept(parts, {name: digest for name, (_, _, digest) in key["weights"].items()})


def _same(folder: Path, stamps: Mapping[str, Any]) -> bool:
    """Whether the weights are those of which something was made: by their sizes and times, which cost no reading, and where
    those are others, as behind a copy, by their hashes."""
    return stamps.keys() == set(_names(folder)) and all(
        [size, modified] == _stamp(folder / name) or sha256_of_file(folder / name) == digest
        for name, (size, modified, digest) in stamps.items()
    )


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.safetensors"))


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _hashes(folder: Path, known: Mapping[str, str]) -> dict[str, str]:
    return {name: known.get(name) or sha256_of_file(folder / name) for name in _names(folder)}


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let no other process make the same file meanwhile. The lock lies in the user's cache, since it stays."""
    locks = platformdirs.user_cache_path("textmill") / "packed"
    locks.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    with filelock.FileLock(locks / f"{name}.lock"):
        for partial in path.parent.glob(f".{path.name}.*.partial"):  # of a process that was killed
            partial.unlink(missing_ok=True)
        yield
