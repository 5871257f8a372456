"""The corpus stage: sources in; documents for training and validation, everything dropped, and a card of counts out."""

import contextlib
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from ..errors import CorpusError
from ..files import atomic_file, write_json
from ..progress import Progress
from .document import Document, Drop
from .readers import name_of, read_documents
from .settings import CorpusSettings
from .sources import find_sources
from .split import split_of
from .steps import Step, cleaning_steps
from .store import RecordWriter

OUTPUTS = ("train", "validation", "dropped")


class _Side:
    """What is counted of the documents kept for training, or for validation."""

    def __init__(self) -> None:
        self.documents = self.characters = self.utf8_bytes = 0
        self._hash = hashlib.sha256()

    def add(self, document: Document) -> None:
        self.documents += 1
        self.characters += len(document.text)
        self.utf8_bytes += len(document.text.encode())
        self._hash.update(json.dumps([document.id, document.text], ensure_ascii=False).encode() + b"\n")

    def to_dict(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.utf8_bytes,
            "sha256": self._hash.hexdigest(),
        }


class _Tally:
    """Counts on the way; becomes the card."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()  # by source file
        self.kept: Counter[str] = Counter()
        self.kept_bytes: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.rules: dict[str, Counter[str]] = {}
        self.changed: dict[str, Counter[str]] = {}
        self.removed_markup: Counter[str] = Counter()
        self.sides = {"train": _Side(), "validation": _Side()}

    def clean(self, document: Document, steps: dict[str, Step]) -> Document | Drop:
        """Take `document` through the steps, counting what each changes."""
        for name, step in steps.items():
            result = step(document)
            if isinstance(result, Drop):
                return result
            if result is not document:
                counts = self.changed.setdefault(name, Counter())
                counts["documents"] += 1
                counts["characters_removed"] += len(document.text) - len(result.text)
            document = result
        return document

    def drop(self, drop: Drop) -> None:
        self.dropped[drop.source] += 1
        self.rules.setdefault(drop.step, Counter())[drop.rule] += 1

    def keep(self, document: Document, side: str) -> None:
        self.kept[document.source] += 1
        self.kept_bytes[document.source] += len(document.text.encode())
        self.removed_markup.update(document.metadata.get("removed_markup", {}))
        self.sides[side].add(document)

    def check(self, written: dict[str, int]) -> None:
        """Every document that was read was written exactly once, and each count agrees with the files."""
        counted = {name: side.documents for name, side in self.sides.items()}
        counted["dropped"] = sum(sum(rules.values()) for rules in self.rules.values())
        by_source = all(self.read[name] == self.kept[name] + self.dropped[name] for name in self.read)
        if counted != written or sum(written.values()) != self.read.total() or not by_source:
            raise AssertionError(f"counts don't add up: read {self.read}, counted {counted}, written {written}")

    def card(self, settings: CorpusSettings, left_out: list[Path]) -> dict[str, Any]:
        return {
            "settings": settings.model_dump(),
            "read": self.read.total(),
            "kept": {name: side.to_dict() for name, side in self.sides.items()},
            "dropped": {step: dict(rules) for step, rules in self.rules.items()},
            "changed": {step: dict(counts) for step, counts in self.changed.items()},
            "markup_characters_removed": dict(self.removed_markup.most_common()),
            "sources": {
                name: {
                    "read": self.read[name],
                    "kept": self.kept[name],
                    "dropped": self.dropped[name],
                    "bytes_kept": self.kept_bytes[name],
                }
                for name in self.read
            },
            "files_of_unknown_format": {
                "count": len(left_out),
                "first": [name_of(path, settings) for path in left_out[:20]],
            },
        }


def build_corpus(
    settings: CorpusSettings,
    folder: str | Path,
    progress_stream: TextIO | None = None,
    cache_folder: Path | None = None,
) -> dict[str, Any]:
    """Read, clean and split the sources into `folder`, which exists; return the card.

    Writes `train.jsonl.zst`, `validation.jsonl.zst`, `dropped.jsonl.zst` and, last, `card.json`; on an error nothing
    in `folder` changes. Raises CorpusError for sources that can't be read, or where a side would be empty.
    """
    folder = Path(folder)
    with Progress("corpus", None, "bytes", progress_stream) as progress, contextlib.ExitStack() as stack:
        files, left_out = find_sources(settings, progress, cache_folder)
        progress.total = sum(path.stat().st_size for path in files)
        streams = {name: stack.enter_context(atomic_file(folder / f"{name}.jsonl.zst")) for name in OUTPUTS}
        with contextlib.ExitStack() as open_writers:
            writers = {name: open_writers.enter_context(RecordWriter(stream)) for name, stream in streams.items()}
            tally = _pour(files, settings, writers, progress)
        _refuse_empty_side(tally, settings)
        tally.check({name: writer.count for name, writer in writers.items()})
        card = tally.card(settings, left_out)
        (folder / "card.json").unlink(missing_ok=True)  # an old card must not describe new files
    write_json(folder / "card.json", card)
    return card


def _pour(files: list[Path], settings: CorpusSettings, writers: dict[str, RecordWriter], progress: Progress) -> _Tally:
    """Take every document of every file to its place."""
    tally = _Tally()
    steps = cleaning_steps(settings)
    for path in files:
        for result in read_documents(path, settings, progress.advance):
            tally.read[result.source] += 1
            cleaned = result if isinstance(result, Drop) else tally.clean(result, steps)
            if isinstance(cleaned, Drop):
                tally.drop(cleaned)
                writers["dropped"].write(cleaned)
            else:
                side = split_of(cleaned, settings.validation_fraction)
                tally.keep(cleaned, side)
                writers[side].write(cleaned)
            progress.detail = f"{tally.read.total():,} documents"
    return tally


def _refuse_empty_side(tally: _Tally, settings: CorpusSettings) -> None:
    kept = tally.kept.total()
    if not kept:
        rules = ", ".join(f"{count:,} {rule}" for counts in tally.rules.values() for rule, count in counts.items())
        raise CorpusError(
            f"no document is left of {tally.read.total():,} ({rules}); give more or longer text, or lower "
            f"corpus.minimum_characters (now {settings.minimum_characters})"
        )
    for name, advice in (("validation", "raise"), ("train", "lower")):
        if not tally.sides[name].documents:
            raise CorpusError(
                f"none of the {kept:,} documents fell to {name}; {advice} corpus.validation_fraction (now "
                f"{settings.validation_fraction:g}) or add documents"
            )
