"""What is counted on the way through the corpus: everything that was read is kept or dropped, and the counts prove it."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cleaning import Cleaned
from .document import ANOTHER_ENCODING, Document, Drop
from .quality import bin_of, deciles
from .readers import name_of
from .settings import CorpusSettings

SIDES = ("train", "validation")
_COUNTS = ("read", "kept", "kept_bytes", "dropped", "undecoded", "removed_markup", "quality")
_COUNTS_BY_STEP = ("rules", "changed")


@dataclass
class Side:
    """What is counted of the documents kept for training, or for validation.

    `sha256` is a chain, each document's hash taken together with the one before, so that a later process can go on
    from it.
    """

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    sha256: str = ""

    def add(self, document: Document) -> None:
        """Count one more document."""
        self.documents += 1
        self.characters += len(document.text)
        self.bytes += len(document.text.encode())
        record = json.dumps([self.sha256, document.id, document.text], ensure_ascii=False)
        self.sha256 = hashlib.sha256(record.encode()).hexdigest()


@dataclass
class Tally:
    """The counts of a block, or of all blocks; becomes the card."""

    read: Counter[str] = field(default_factory=Counter)  # by source file, as the next four
    kept: Counter[str] = field(default_factory=Counter)
    kept_bytes: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    undecoded: Counter[str] = field(default_factory=Counter)
    rules: dict[str, Counter[str]] = field(default_factory=dict)
    changed: dict[str, Counter[str]] = field(default_factory=dict)
    removed_markup: Counter[str] = field(default_factory=Counter)
    quality: Counter[str] = field(default_factory=Counter)  # by the hundredth of a bit per byte
    sides: dict[str, Side] = field(default_factory=lambda: {name: Side() for name in SIDES})

    def count(self, cleaned: Cleaned) -> None:
        """Count a document as read, and what the steps changed in it."""
        self.read[cleaned.record.source] += 1
        if (bits := bin_of(cleaned.record)) is not None:
            self.quality[bits] += 1
        if isinstance(cleaned.record, Document):
            for step, characters in cleaned.changed.items():
                self.changed.setdefault(step, Counter()).update(documents=1, characters_removed=characters)

    def drop(self, drop: Drop) -> None:
        """Count a document as dropped."""
        self.dropped[drop.source] += 1
        if drop.rule == ANOTHER_ENCODING:
            self.undecoded[drop.source] += 1
        self.rules.setdefault(drop.step, Counter())[drop.rule] += 1

    def keep(self, document: Document, side: str) -> None:
        """Count a document as kept."""
        self.kept[document.source] += 1
        self.kept_bytes[document.source] += len(document.text.encode())
        self.removed_markup.update(document.metadata.get("removed_markup", {}))
        self.sides[side].add(document)

    def next_block(self) -> "Tally":
        """An empty tally for what comes after this one."""
        return Tally(sides={name: Side(sha256=side.sha256) for name, side in self.sides.items()})

    def add(self, block: "Tally") -> None:
        """Add the counts of the block that comes next."""
        for name in _COUNTS:
            getattr(self, name).update(getattr(block, name))
        for name in _COUNTS_BY_STEP:
            for step, counts in getattr(block, name).items():
                getattr(self, name).setdefault(step, Counter()).update(counts)
        for name, side in block.sides.items():
            mine = self.sides[name]
            mine.documents += side.documents
            mine.characters += side.characters
            mine.bytes += side.bytes
            mine.sha256 = side.sha256

    def to_dict(self) -> dict[str, Any]:
        """All counts as plain values."""
        return {**vars(self), "sides": {name: vars(side) for name, side in self.sides.items()}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Tally":
        """The inverse of `to_dict`."""
        tally = cls(sides={name: Side(**side) for name, side in values["sides"].items()})
        for name in _COUNTS:
            setattr(tally, name, Counter(values[name]))
        for name in _COUNTS_BY_STEP:
            setattr(tally, name, {step: Counter(counts) for step, counts in values[name].items()})
        return tally

    def check(self, written: dict[str, int]) -> None:
        """Every document that was read was written exactly once, and each count agrees with the files."""
        counted = {name: side.documents for name, side in self.sides.items()}
        counted["dropped"] = sum(sum(rules.values()) for rules in self.rules.values())
        by_source = all(self.read[name] == self.kept[name] + self.dropped[name] for name in self.read)
        if counted != written or sum(written.values()) != self.read.total() or not by_source:
            raise AssertionError(f"counts don't add up: read {self.read}, counted {counted}, written {written}")

    def card(self, settings: CorpusSettings, left_out: list[Path]) -> dict[str, Any]:
        """What is told of the finished corpus."""
        return {
            "settings": settings.model_dump(),
            "read": self.read.total(),
            "kept": {name: vars(side) for name, side in self.sides.items()},
            "dropped": {step: dict(rules) for step, rules in self.rules.items()},
            "changed": {step: dict(counts) for step, counts in self.changed.items()},
            **({"quality": {"judged": self.quality.total(), "deciles": deciles(self.quality)}} if self.quality else {}),
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
            "files_in_another_encoding": {"count": len(self.undecoded), "first": list(self.undecoded)[:20]},
        }
