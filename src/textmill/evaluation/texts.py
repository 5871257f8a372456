"""Any text as documents to evaluate on: files, folders, dumps, samples or standard input, read and cleaned as a corpus is.

Nothing is split off and nothing is too short: all of the text counts, up to a limit that says what it left out.
"""

import contextlib
import dataclasses
import hashlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from ..corpus.cleaning import Cleaner
from ..corpus.document import Document, Drop
from ..corpus.duplicates import DropDuplicates
from ..corpus.readers import name_of, read_documents
from ..corpus.settings import CorpusSettings
from ..corpus.sources import list_sources
from ..corpus.store import read_corpus
from ..errors import CorpusError
from ..files import sha256_of_file
from ..progress import Progress
from .selection import NothingChosenError, Selection, choose_documents

STANDARD_INPUT = "-"
COMPARED_BYTES = 1 << 28  # of a compressed training corpus: larger ones aren't read through for documents seen before


@dataclass
class Texts:
    """Documents to evaluate on, where they came from, and what was dropped or left out on the way."""

    settings: CorpusSettings
    cleaned: bool
    selection: Selection
    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file, by name."""

    @property
    def signature(self) -> dict[str, Any]:
        """What the figures rest on, beside the documents' own hash."""
        return {
            "cleaning": "the corpus steps of textmill" if self.cleaned else "none: as the readers give it",
            "files_sha256": self.files,
            "dropped": dict(self.dropped),
            "left_out_documents": self.selection.left_out_documents,
            "left_out_bytes": self.selection.left_out_bytes,
        }


def text_settings(sources: Sequence[str], of_model: Mapping[str, Any], changes: Mapping[str, Any]) -> CorpusSettings:
    """How `sources` are read: as the model's own corpus was, where its lineage says so, but for `changes`.

    Raises CorpusError for a setting that can't be followed.
    """
    kept = {key: value for key, value in of_model.items() if key == "chinese_script" or key.endswith("_field")}
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return CorpusSettings.model_validate({**kept, "source": list(sources), "minimum_characters": 1, **given})
    except pydantic.ValidationError as error:
        problems = [
            f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg'].removeprefix('Value error, ')}"
            for mistake in error.errors()
        ]
        raise CorpusError(*problems) from None


def read_texts(settings: CorpusSettings, maximum_bytes: int, cleaned: bool = True) -> Texts:
    """Read all of the sources once, and keep documents of `maximum_bytes` together, chosen by hash.

    Raises CorpusError, with all that is wrong, where they can't be read or hold nothing.
    """
    with _without_standard_input(settings) as files_only, Progress("reading", None, "bytes", sys.stderr) as progress:
        paths = list_sources(files_only, progress)
        progress.total = sum(path.stat().st_size for path in paths)
        names = _names(paths, files_only)
        texts = Texts(settings, cleaned, Selection([], 0, 0, 0))
        texts.files = {name: sha256_of_file(path) for path, name in names.items()}
        documents = _documents(names, files_only, texts, progress)
        try:
            texts.selection = choose_documents(documents, maximum_bytes)
        except NothingChosenError:
            if texts.read - sum(texts.dropped.values()):
                raise
            why = ", ".join(f"{count:,} {rule}" for rule, count in texts.dropped.items()) or "they are empty"
            raise CorpusError(f"no document is left of {', '.join(settings.sources())} ({why}); give other text") from None
        return texts


def training_texts(settings: CorpusSettings, progress: Progress | None = None) -> Iterator[str]:
    """The cleaned text of each document, streaming, for a baseline or word vectors to learn from."""
    texts = Texts(settings, True, Selection([], 0, 0, 0))
    with _without_standard_input(settings) as files_only:
        paths = list_sources(files_only, progress)
        if progress:
            progress.total = sum(path.stat().st_size for path in paths)
        for document in _documents(_names(paths, files_only), files_only, texts, progress):
            yield document.text


def seen_in_training(documents: Sequence[Document], model_folder: Path) -> int | None:
    """How many of `documents` stand word for word in the training text of the run that `model_folder` lies in.

    None where that text isn't there, or is so long that reading it through would take minutes.
    """
    path = model_folder.parent / "corpus" / "train.jsonl.zst"
    if not path.is_file() or path.stat().st_size > COMPARED_BYTES:
        return None
    digests = Counter(map(_digest, documents))
    return sum(digests.pop(_digest(document), 0) for document in read_corpus(path))


def known_sources(texts: Texts, lineage: Mapping[str, Any]) -> list[str]:
    """The files among `texts` that the model's corpus was made of, by their SHA-256."""
    known = set(lineage.get("sources", {}).values())
    return [name for name, digest in texts.files.items() if digest in known]


def _names(paths: Sequence[Path], settings: CorpusSettings) -> dict[Path, str]:
    """What each file is called: its path where two would be called alike."""
    names = {path: name_of(path, settings) for path in paths}
    counts = Counter(names.values())
    return {path: name if counts[name] == 1 else str(path) for path, name in names.items()}


def _documents(
    names: Mapping[Path, str], settings: CorpusSettings, texts: Texts, progress: Progress | None
) -> Iterator[Document]:
    """Every document of these files that the steps keep; counts, in `texts`, what is read and dropped."""
    clean, without_duplicates = Cleaner(settings), DropDuplicates()
    for path, name in names.items():
        for found in read_documents(path, settings, progress.advance if progress else None):
            texts.read += 1
            result = found if isinstance(found, Document | Drop) else found.read(settings)
            if texts.cleaned:
                result = clean([result])[0].record
                result = without_duplicates(result) if isinstance(result, Document) else result
            if isinstance(result, Drop):
                texts.dropped[f"{result.step}: {result.rule}"] += 1
            else:
                yield dataclasses.replace(result, source=name)


@contextlib.contextmanager
def _without_standard_input(settings: CorpusSettings) -> Iterator[CorpusSettings]:
    """The settings with `-` replaced by a file that holds what came on standard input."""
    if STANDARD_INPUT not in settings.sources():
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="textmill-") as folder:
        path = Path(folder) / "standard-input.txt"
        with open(path, "wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        if not path.stat().st_size:
            raise CorpusError("standard input is empty; pipe a text into it, or name a file")
        sources = [str(path) if source == STANDARD_INPUT else source for source in settings.sources()]
        yield settings.model_copy(update={"source": sources})


def _digest(document: Document) -> bytes:
    return hashlib.blake2b(document.text.encode(errors="replace"), digest_size=16).digest()
