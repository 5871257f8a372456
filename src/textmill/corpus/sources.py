"""From the recipe's `source` to a list of files: samples fetched, folders walked, every problem reported together."""

import os
from pathlib import Path

from ..errors import CorpusError
from ..progress import Progress
from .readers import format_of, unknown_format
from .samples import fetch_sample
from .settings import CorpusSettings


def list_sources(settings: CorpusSettings, progress: Progress | None = None, cache_folder: Path | None = None) -> list[Path]:
    """The files that hold the corpus, in a fixed order.

    Raises CorpusError with all problems: missing, empty, unreadable, of unknown format.
    """
    return find_sources(settings, progress, cache_folder)[0]


def find_sources(
    settings: CorpusSettings, progress: Progress | None = None, cache_folder: Path | None = None
) -> tuple[list[Path], list[Path]]:
    """The files that hold the corpus, and those in its folders that no reader knows."""
    files: list[Path] = []
    unknown: list[Path] = []
    problems: list[str] = []
    for source in settings.sources():
        if source.startswith("sample:"):
            files.append(fetch_sample(source.removeprefix("sample:"), progress, cache_folder, "text"))
            continue
        path = Path(source).expanduser()
        try:
            if path.is_dir():
                known, others = _files_below(path, settings)
                files += known
                unknown += others
                if not known:
                    problems.append(_empty_folder(path, others))
            elif problem := _problem_with_file(path, settings):
                problems.append(problem)
            else:
                files.append(path)
        except OSError as error:
            problems.append(f"{error.filename or path} can't be read: {error.strerror}; check its permissions")
    if problems:
        raise CorpusError(*problems)
    return list(dict.fromkeys(files)), unknown


def _files_below(folder: Path, settings: CorpusSettings) -> tuple[list[Path], list[Path]]:
    """The readable and the unknown files below `folder`, sorted; hidden files and folders are left out."""

    def fail(error: OSError) -> None:
        raise error

    known: list[Path] = []
    others: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                (known if format_of(path, settings) else others).append(path)
    return sorted(known), sorted(others)


def _problem_with_file(path: Path, settings: CorpusSettings) -> str | None:
    if not path.exists():
        return (
            f"{path} does not exist (looked from {Path.cwd()}); give a file or folder that does, or a sample, "
            "such as 'sample:standard-library', which needs no network"
        )
    if not path.is_file():
        return f"{path} is no file and no folder; give text files or a folder of them"
    if not os.access(path, os.R_OK):
        return f"{path} can't be read: no read permission; change its permissions or copy it"
    if path.stat().st_size == 0:
        return f"{path} is empty; give a file with text in it"
    return None if format_of(path, settings) else unknown_format(path)


def _empty_folder(folder: Path, others: list[Path]) -> str:
    if not others:
        return f"{folder} is an empty folder; put .txt, .md, .jsonl or .xml files into it"
    names = ", ".join(path.name for path in others[:5]) + (", …" if len(others) > 5 else "")
    return f"{folder} holds no file of a known format, only {len(others):,} others ({names}); " + unknown_format(others[0])
