"""Reading a tokenized corpus as one long array, whatever files it lies in.

Before that, every file is checked to be what was written, so that no damage reaches a model.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from ..files import fingerprint, read_json, sha256_of_file
from .shards import FORMAT, MANIFEST, START_TYPE, STARTS, VERSION

OPEN_FILES = 64  # shards mapped at a time: a mapping holds a file descriptor, and systems allow some 1,000


class TokenData:
    """A corpus of `tokens` numbers and `documents` documents; `manifest` says all else. Made by `open`."""

    def __init__(self, folder: Path, manifest: dict[str, Any]):
        self.folder = folder
        self.manifest = manifest
        self.tokens: int = manifest["tokens"]
        self.documents: int = manifest["documents"]
        self.shard_tokens: int = manifest["shard_tokens"]
        self.dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
        self._starts = np.memmap(folder / STARTS, dtype=START_TYPE, mode="r")
        self._shard = functools.lru_cache(maxsize=OPEN_FILES)(self._map_shard)

    @classmethod
    def open(cls, folder: str | Path, verify: bool = True) -> "TokenData":
        """Open what `write_shards` wrote.

        Sizes are always checked; with `verify` every byte is (by SHA-256, so all is read once). Raises RunError that
        names each file that is missing or isn't as it was written.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise RunError(f"there is no {MANIFEST} in {folder}, so it holds no tokenized corpus; run again to make it")
        manifest = read_json(path)
        _check_manifest(path, manifest)
        files = [*manifest["shards"], manifest["starts"]]
        if problems := [problem for file in files if (problem := _damage(folder, file, verify))]:
            raise RunError(*(f"{problem}; delete {folder}, and run again to have it made anew" for problem in problems))
        return cls(folder, manifest)

    def read(self, start: int, count: int) -> np.ndarray:
        """Tokens `[start, start + count)`, in the type they are stored in: (count,), a copy."""
        if not 0 <= start <= start + count <= self.tokens:
            raise IndexError(f"tokens {start} to {start + count} of {self.tokens}")
        parts = []
        while count > 0:
            shard, offset = divmod(start, self.shard_tokens)
            part = self._shard(shard)[offset : offset + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return np.concatenate(parts) if parts else np.empty(0, dtype=self.dtype)

    def document_starts(self, start: int, count: int) -> np.ndarray:
        """Where documents begin within tokens `[start, start + count)`: positions in the whole stream, (n,) int64.

        The token before each is the separator, which is the document's BOS.
        """
        first, last = np.searchsorted(self._starts, np.array([start, start + count], dtype=START_TYPE))
        return np.array(self._starts[first:last], dtype=np.int64)

    def _map_shard(self, number: int) -> np.ndarray:
        return np.memmap(self.folder / self.manifest["shards"][number]["name"], dtype=self.dtype, mode="r")


def _check_manifest(path: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise RunError(f"{path} is no manifest of a tokenized corpus; give the folder that `tokens` wrote")
    if manifest.get("version") != VERSION:
        raise RunError(
            f"{path} is of version {manifest.get('version')}, this textmill reads version {VERSION}; "
            "delete the folder, and run again to have it made anew"
        )
    content = {key: value for key, value in manifest.items() if key != "fingerprint"}
    if manifest.get("fingerprint") != fingerprint(content):
        raise RunError(f"{path} was changed after it was written; delete the folder, and run again to have it made anew")


def _damage(folder: Path, file: dict[str, Any], verify: bool) -> str:
    """What is wrong with one file of the manifest; empty where nothing is."""
    path = folder / file["name"]
    if not path.is_file():
        return f"{path} is missing"
    if (size := path.stat().st_size) != file["bytes"]:
        return f"{path} has {size} bytes instead of {file['bytes']}"
    if verify and sha256_of_file(path) != file["sha256"]:
        return f"{path} is damaged: its SHA-256 isn't the one it was written with"
    return ""
