"""From a file to documents: one function a format, found by the file's ending.

Every reader streams, and gives a Drop for what it passes over, so that the counts add up.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import CorpusError, nearest
from .document import Found
from .jsonl import read_jsonl
from .mediawiki import read_mediawiki
from .plaintext import read_plain_text
from .settings import CorpusSettings
from .streams import COMPRESSIONS, Advance, DamagedError, TruncatedError

Reader = Callable[[Path, str, CorpusSettings, Advance | None], Iterator[Found]]
"""Takes the file, the name its documents are known by, the settings, and what to call with the bytes read."""

READERS: dict[str, Reader] = {
    "txt": read_plain_text,
    "md": read_plain_text,
    "jsonl": read_jsonl,
    "mediawiki": read_mediawiki,
}
ENDINGS = {".txt": "txt", ".md": "md", ".markdown": "md", ".jsonl": "jsonl", ".ndjson": "jsonl", ".xml": "mediawiki"}


def format_of(path: Path, settings: CorpusSettings) -> str | None:
    """The format that `path` is read as, or None where its ending says nothing."""
    if settings.format != "auto":
        return settings.format
    return ENDINGS.get(_ending(path))


def unknown_format(path: Path) -> str:
    """The message for a file that no reader knows."""
    ending = _ending(path)
    known = ", ".join(ENDINGS)
    return (
        f"{path} has {f'the ending {ending}' if ending else 'no ending'}, which no reader knows"
        f"{nearest(ending, ENDINGS, 0.75) if ending else ''}; known are {known} (also with {', '.join(COMPRESSIONS)} "
        "behind). Plain text can be renamed, or told with corpus.format or --format; anything else has to be turned into text "
        "before"
    )


def read_documents(path: Path, settings: CorpusSettings, advance: Advance | None = None) -> Iterator[Found]:
    """The documents of one file, read or yet to be read, and a Drop for each thing in it that is none.

    `advance` is called with the bytes read, for a progress line. Raises CorpusError for a file that can't be read:
    unknown format, no permission, truncated, damaged, not in the encoding, broken lines, not a dump.
    """
    path = Path(path)
    format = format_of(path, settings)
    if format is None:
        raise CorpusError(unknown_format(path))
    count = 0
    try:
        for document in READERS[format](path, name_of(path, settings), settings, advance):
            count += 1
            yield document
    except TruncatedError as error:
        raise CorpusError(
            f"{path} is truncated: it ends in the middle, after {count:,} documents; download or copy it again"
        ) from error
    except DamagedError as error:
        raise CorpusError(
            f"{path} is damaged, or not compressed as its ending {path.suffix} says ({error}; {count:,} documents were "
            "read before); download or copy it again, or give it the right ending"
        ) from error
    except OSError as error:
        raise CorpusError(f"{path} can't be read: {error.strerror}; check the path and its permissions") from error


def name_of(path: Path, settings: CorpusSettings) -> str:
    """What the file is called in ids and counts: its path below the source folder, the same on every machine."""
    for source in settings.sources():
        folder = Path(source).expanduser()
        if not source.startswith("sample:") and folder.is_dir() and path.is_relative_to(folder):
            return f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}"
    return path.name


def _ending(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()
