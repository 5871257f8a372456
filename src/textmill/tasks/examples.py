"""Labelled texts divided into those to learn from, to validate on and to be judged by; and what is to be known of them
before."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import TaskError
from ..files import fingerprint
from .labelled import LabelledText, Reading, lines_named, read_labelled

IMBALANCE = 10  # times as frequent as the rarest: told


@dataclass(frozen=True)
class DataReport:
    """What was found in the data: a sentence each."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(f"  {line}" for line in self.lines)


@dataclass(frozen=True)
class Split:
    """Examples to learn from, to validate on, to be judged by; `report` says what was found and taken out."""

    training: list[LabelledText]
    validation: list[LabelledText]
    test: list[LabelledText]
    report: DataReport

    @property
    def hash(self) -> str:
        """Of all that is learnt from and validated on."""
        return _hash([*self.training, *self.validation])

    @property
    def test_hash(self) -> str:
        """Of what it is judged by."""
        return _hash(self.test)


def _hash(examples: Sequence[LabelledText]) -> str:
    return fingerprint([[example.text, *example.labels] for example in examples])[:12]


def divide(data: str | Path, test: str | Path | None, validation: str | Path | None, reading: Reading, share: float) -> Split:
    """Read the files, and hold out what isn't given as a file: for validation the `share` of the training texts with the
    lowest hashes.

    A training text that stands in the validation or test texts, too, is taken out of training. Raises TaskError where a file
    can't be read or labels don't fit.
    """
    lines = []
    parts: dict[str, list[LabelledText]] = {}
    for name, path in (("training", data), ("validation", validation), ("test", test)):
        parts[name] = []
        if path is not None:
            found = read_labelled(path, reading)
            lines.append(f"{path}: {found}")
            parts[name] = found.texts
    if validation is None:
        parts["training"], parts["validation"] = held_out(parts["training"], share)
    elsewhere = {_normal(example.text) for name in ("validation", "test") for example in parts[name]}
    leaks = [example for example in parts["training"] if _normal(example.text) in elsewhere]
    if leaks:
        parts["training"] = [example for example in parts["training"] if _normal(example.text) not in elsewhere]
        lines.append(
            f"{len(leaks):,} training texts stand in the validation or test texts, too, and aren't learnt from "
            f"({lines_named([example.line for example in leaks])})"
        )
    if not parts["training"] or not parts["validation"]:
        raise TaskError(
            f"{data}: too few texts: {len(parts['training'])} to learn from, {len(parts['validation'])} to validate on"
        )
    counts = Counter(label for example in parts["training"] for label in example.labels)
    lines.append(
        f"{len(parts['training']):,} to learn from, {len(parts['validation']):,} to validate on, {len(parts['test']):,} to be "
        f"judged by; labels: {', '.join(f'{label} {count:,}' for label, count in counts.most_common(12))}"
        + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")
    )
    unknown = [example for name in ("validation", "test") for example in parts[name] if not set(example.labels) <= set(counts)]
    if unknown:
        lines.append(
            f"{len(unknown):,} validation or test texts have a label that no training text has, "
            f"such as {unknown[0].labels[0]!r} "
            f"({lines_named([example.line for example in unknown])}): they count as mistakes"
        )
    if max(counts.values()) > IMBALANCE * min(counts.values()):
        (often, most), *_, (seldom, least) = counts.most_common()
        lines.append(f"the labels are unbalanced: {often} {most:,} times, {seldom} {least:,} times; see learn.class_weights")
    return Split(parts["training"], parts["validation"], parts["test"], DataReport(tuple(lines)))


def held_out(examples: Sequence[LabelledText], share: float) -> tuple[list[LabelledText], list[LabelledText]]:
    """Those to learn from, and the share with the lowest hashes of their texts: the same ones whatever else is in the file."""
    bound = int(share * 2**32)
    lower = [int.from_bytes(hashlib.sha256(_normal(example.text).encode()).digest()[:4]) < bound for example in examples]
    kept = [example for example, out in zip(examples, lower, strict=True) if not out]
    out = [example for example, out in zip(examples, lower, strict=True) if out]
    return kept, out


def _normal(text: str) -> str:
    return " ".join(text.split())
