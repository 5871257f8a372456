"""What a sample text is: a name, what a person should know before fetching it, and how it is fetched."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import CorpusError
from ...progress import Progress


@dataclass(frozen=True)
class Sample:
    """`fetch` takes the cache folder and a progress line, and gives the file, which it makes where it isn't there yet."""

    name: str
    contents: str
    size: str
    licence: str
    fetch: Callable[[Path, Progress | None], Path]


def cannot_be_had(what: str, reason: str, way_out: str) -> CorpusError:
    """The error for a sample that can't be fetched: why, and what does the same without it."""
    return CorpusError(f"{what} can't be had: {reason}. {way_out}; or set corpus.source to text of your own")
