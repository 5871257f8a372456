"""Examples of any task, divided into those to learn from, to validate on and to be judged by; and what is to be known of them
before."""

import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ..errors import TaskError, nearest
from ..files import fingerprint

IMBALANCE = 10  # times as frequent as the rarest: told
SHOWN_LINES = 5  # of each kind of mistake
SHOWN_LABELS = 12


class Example(Protocol):
    """What every task's examples have: a text, its labels, and where it stands: its file and line, counted from 1."""

    @property
    def text(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...


AnExample = TypeVar("AnExample", bound=Example)


@dataclass
class Found(Generic[AnExample]):
    """What a file held: its examples in their order, and the lines of rows that were left out, by the reason."""

    examples: list[AnExample] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)

    def __str__(self) -> str:
        reasons = (f"{len(lines):,} left out: {reason} ({lines_named(lines)})" for reason, lines in self.left_out.items())
        return "; ".join([f"{len(self.examples):,} texts", *reasons])


def lines_named(lines: Sequence[int]) -> str:
    """`line 3`, `lines 3, 8 and 12 more`."""
    shown = [f"{line:,}" for line in lines[:SHOWN_LINES]]
    more = f" and {len(lines) - len(shown):,} more" if len(lines) > len(shown) else ""
    return f"{'line' if len(lines) == 1 else 'lines'} {', '.join(shown)}{more}"


def decoded(path: Path, encoding: str) -> str:
    """A file's text. Raises TaskError where there is none, or where its bytes aren't in this encoding."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        near = nearest(path.name, [other.name for other in path.parent.glob("*")]) if path.parent.is_dir() else ""
        raise TaskError(f"there is no file {path}{near}") from error
    except (IsADirectoryError, PermissionError) as error:
        raise TaskError(f"{path} can't be read: {error.strerror}; give a file of examples") from error
    try:
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TaskError(
            f"{path}, line {line:,}: the byte {raw[error.start]:#04x} is no {encoding}; name the file's encoding, such as "
            "--encoding latin-1 or --encoding gb18030"
        ) from error
    except LookupError as error:
        raise TaskError(f"--encoding {encoding}: there is no such encoding; write utf-8, latin-1 or gb18030, say") from error
    except (OSError, EOFError) as error:
        raise TaskError(f"{path} is no gzip file: {error}") from error


@dataclass(frozen=True)
class DataReport:
    """What was found in the data: a sentence each."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(f"  {line}" for line in self.lines)


@dataclass(frozen=True)
class Split(Generic[AnExample]):
    """Examples to learn from, to validate on, to be judged by; `report` says what was found and taken out."""

    training: list[AnExample]
    validation: list[AnExample]
    test: list[AnExample]
    report: DataReport

    @property
    def hash(self) -> str:
        """Of all that is learnt from and validated on."""
        return _hash([*self.training, *self.validation])

    @property
    def test_hash(self) -> str:
        """Of what it is judged by."""
        return _hash(self.test)


def _hash(examples: Sequence[Example]) -> str:
    return fingerprint([[example.text, *example.labels] for example in examples])[:12]


def divide(
    read: Callable[[str | Path], Found[AnExample]],
    data: str | Path,
    test: str | Path | None,
    validation: str | Path | None,
    share: float,
) -> Split[AnExample]:
    """`read` the files, and hold out what isn't given as a file: for validation the `share` of the training texts with the
    lowest hashes.

    A training text that stands in the validation or test texts, too, is taken out of training. Raises TaskError where a file
    can't be read or labels don't fit.
    """
    lines = []
    parts: dict[str, list[AnExample]] = {}
    for name, path in (("training", data), ("validation", validation), ("test", test)):
        parts[name] = []
        if path is not None:
            found = read(path)
            lines.append(f"{path}: {found}")
            parts[name] = found.examples
    if validation is None:
        parts["training"], parts["validation"] = held_out(parts["training"], share)
    elsewhere = {normal(example.text) for name in ("validation", "test") for example in parts[name]}
    leaks = [example for example in parts["training"] if normal(example.text) in elsewhere]
    if leaks:
        parts["training"] = [example for example in parts["training"] if normal(example.text) not in elsewhere]
        lines.append(
            f"{len(leaks):,} training texts stand in the validation or test texts, too, and aren't learnt from "
            f"({lines_named([example.line for example in leaks])})"
        )
    if not parts["training"] or not parts["validation"]:
        raise TaskError(
            f"{data}: too few texts: {len(parts['training'])} to learn from, {len(parts['validation'])} to validate on"
        )
    lines.append(
        f"{len(parts['training']):,} to learn from, {len(parts['validation']):,} to validate on, {len(parts['test']):,} to be "
        "judged by"
    )
    counts = Counter(label for example in parts["training"] for label in example.labels)
    if counts:
        lines += _labels_told(counts, [*parts["validation"], *parts["test"]])
    return Split(parts["training"], parts["validation"], parts["test"], DataReport(tuple(lines)))


def _labels_told(counts: Counter[str], others: Sequence[Example]) -> Iterator[str]:
    """What is to be said of the labels of the training texts, and of the `others`'."""
    yield f"labels: {', '.join(f'{label} {count:,}' for label, count in counts.most_common(SHOWN_LABELS))}" + (
        f" and {len(counts) - SHOWN_LABELS} more" if len(counts) > SHOWN_LABELS else ""
    )
    if unknown := [example for example in others if not set(example.labels) <= set(counts)]:
        yield (
            f"{len(unknown):,} validation or test texts have a label that no training text has, "
            f"such as {unknown[0].labels[0]!r} "
            f"({lines_named([example.line for example in unknown])}): they count as mistakes"
        )
    if max(counts.values()) > IMBALANCE * min(counts.values()):
        (often, most), *_, (seldom, least) = counts.most_common()
        yield f"the labels are unbalanced: {often} {most:,} times, {seldom} {least:,} times; see learn.class_weights"


def held_out(examples: Sequence[AnExample], share: float) -> tuple[list[AnExample], list[AnExample]]:
    """Those to learn from, and the share with the lowest hashes of their texts: the same ones whatever else is in the file."""
    bound = int(share * 2**32)
    lower = [int.from_bytes(hashlib.sha256(normal(example.text).encode()).digest()[:4]) < bound for example in examples]
    kept = [example for example, out in zip(examples, lower, strict=True) if not out]
    out = [example for example, out in zip(examples, lower, strict=True) if out]
    return kept, out


def normal(text: str) -> str:
    """The text as it is compared with others: white space of any kind is one space."""
    return " ".join(text.split())
