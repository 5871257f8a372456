"""What a sample text is: a name, what a person should know before fetching it, and how it is fetched."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import CorpusError
from ...progress import Progress


@dataclass(frozen=True)
class Sample:
    """`fetch` takes the path to write and a progress line. What lies there already is good if it has the `sha256`; any does
    where that is None."""

    name: str
    file: str
    sha256: str | None
    contents: str
    size: str
    licence: str
    fetch: Callable[[Path, Progress | None], None]


def cannot_be_had(what: str, reason: str, way_out: str, name: str, path: Path) -> CorpusError:
    """The error for a sample that can't be fetched: why, what does the same without it, and how to bring the file here."""
    return CorpusError(
        f"{what} can't be had: {reason}. {way_out}. Or fetch it on another machine, where `textmill sample {name}` prints "
        f"the file's path, and copy that file to {path}"
    )
