"""What a sample is: texts, pairs of texts or weights under a name, what one should know of them, and how they are fetched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import CorpusError
from ...files import sha256_of_file
from ...progress import Progress

SampleKind = Literal["text", "weights", "pairs"]


@dataclass(frozen=True)
class Sample:
    """`fetch` takes the path to write, `file` in the cache (a folder for some), and a progress line. `sha256` is the file's;
    for a folder, each file's by its name; None where any content will do."""

    name: str
    kind: SampleKind
    file: str
    sha256: str | Mapping[str, str] | None
    contents: str
    size: str
    licence: str
    fetch: Callable[[Path, Progress | None], None]

    def is_at(self, path: Path) -> bool:
        """Whether what lies at `path` is this sample, whole and unchanged."""
        if isinstance(self.sha256, Mapping):
            return all(_has_hash(path / name, sha256) for name, sha256 in self.sha256.items())
        return _has_hash(path, self.sha256)


def _has_hash(path: Path, sha256: str | None) -> bool:
    return path.is_file() and sha256 in (None, sha256_of_file(path))


def cannot_be_had(what: str, reason: str, way_out: str, name: str, path: Path) -> CorpusError:
    """The error for a sample that can't be fetched: why, what does the same without it, and how to bring it here."""
    return CorpusError(
        f"{what} can't be had: {reason}. {way_out}. Or fetch it on another machine, where `textmill sample {name}` prints "
        f"its path, and copy what lies there to {path}"
    )
