"""Examples of any task, divided into those to learn from, to validate on and to be judged by; and what is to be known of them
before."""

import codecs
import dataclasses
import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ..errors import TaskError, nearest
from ..files import fingerprint
from ..report import findings
from ..report.findings import english

IMBALANCE = 10  # times as frequent as the rarest: told
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


@dataclass(frozen=True)
class Finding:
    """Something that was found in the data: the key of its sentence, and the values that this names."""

    key: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return english(findings.finding(self.key, self.values))


@dataclass
class Found(Generic[AnExample]):
    """What a file held: its examples in their order, and the lines of rows that were left out, by the reason."""

    examples: list[AnExample] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)

    def findings(self, path: str | Path) -> Iterator[Finding]:
        """What is to be said of the file."""
        yield Finding("read", {"file": str(path), "count": len(self.examples)})
        for reason, lines in self.left_out.items():
            yield Finding("left_out", {"file": str(path), "count": len(lines), "reason": reason, "lines": lines})

    def __str__(self) -> str:
        reasons = (f"{len(lines):,} left out: {reason} ({lines_named(lines)})" for reason, lines in self.left_out.items())
        return "; ".join([f"{len(self.examples):,} texts", *reasons])


def refuse_lines(path: str | Path, problems: Mapping[str, Sequence[int]]) -> None:
    """Raise TaskError where something is wrong with lines of a file, all of it together."""
    if problems:
        raise TaskError(*(f"{path}, {lines_named(lines)}: {what}" for what, lines in problems.items()))


def lines_named(lines: Sequence[int]) -> str:
    """`line 3`, `lines 3, 8 and 12 more`."""
    return english(findings.lines_named(lines))


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
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise TaskError(f"{path} is in UTF-16; write --encoding utf-16") from error
        line = raw[: error.start].count(b"\n") + 1
        raise TaskError(
            f"{path}, line {line:,}: the byte {raw[error.start]:#04x} is no {encoding}; name the file's encoding, such as "
            "--encoding latin-1 or --encoding gb18030"
        ) from error
    except LookupError as error:
        raise TaskError(f"--encoding {encoding}: there is no such encoding; write utf-8, latin-1 or gb18030, say") from error
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{path} is no gzip file: {error}") from error


@dataclass(frozen=True)
class DataReport:
    """What was found in the data, one after the other."""

    lines: tuple[Finding, ...]

    def __str__(self) -> str:
        return "\n".join(f"  {line}" for line in self.lines)


@dataclass(frozen=True)
class Split(Generic[AnExample]):
    """Examples to learn from, to validate on, to be judged by; `report` says what was found and taken out."""

    training: list[AnExample]
    validation: list[AnExample]
    test: list[AnExample]
    report: DataReport

    def with_findings(self, *more: Finding) -> "Split[AnExample]":
        """The same, with more to be said of it."""
        return dataclasses.replace(self, report=DataReport((*self.report.lines, *more)))

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

    A text to learn from or to validate on that stands in the test texts, too, is left out, as is one to learn from that is
    validated on. Raises TaskError where a file can't be read or nothing is left.
    """
    found: list[Finding] = []
    parts: dict[str, list[AnExample]] = {}
    for name, path in (("training", data), ("validation", validation), ("test", test)):
        parts[name] = []
        if path is not None:
            held = read(path)
            parts[name] = held.examples
            found += held.findings(path)
    if validation is None:
        parts["training"], parts["validation"] = held_out(parts["training"], share)
    for name, later in (("validation", ("test",)), ("training", ("validation", "test"))):
        for other in later:
            parts[name], leaks = _without(parts[name], parts[other])
            found += leaks
    training, held_for, judged = parts["training"], parts["validation"], parts["test"]
    if not training or not held_for:
        left_out = "; ".join(f"{finding}" for finding in found if finding.key == "leaks")
        told = f"; {left_out}" if left_out else ""
        raise TaskError(f"{data}: too few texts: {len(training)} to learn from, {len(held_for)} to validate on{told}")
    found += _repeated([*training, *held_for])
    found.append(Finding("parts", {"training": len(training), "validation": len(held_for), "test": len(judged)}))
    if counts := Counter(label for example in training for label in example.labels):
        found += _labels_told(counts, held_for, judged)
    return Split(training, held_for, judged, DataReport(tuple(found)))


def _labels_told(counts: Counter[str], *others: Sequence[Example]) -> Iterator[Finding]:
    """What is to be said of the labels of the training texts, and of the `others`'."""
    named = [f"{label} {count:,}" for label, count in counts.most_common(SHOWN_LABELS)]
    more = [f"+ {len(counts) - SHOWN_LABELS:,}"] if len(counts) > SHOWN_LABELS else []
    yield Finding("labels", {"count": len(counts), "labels": ", ".join([*named, *more])})
    for part in others:
        if unknown := [example for example in part if not set(example.labels) <= set(counts)]:
            label = next(label for label in unknown[0].labels if label not in counts)
            yield Finding("unknown", {"count": len(unknown), "label": label, **_where(unknown)})
    if max(counts.values()) > IMBALANCE * min(counts.values()):
        (often, most), *_, (seldom, least) = counts.most_common()
        yield Finding("unbalanced", {"often": often, "most": most, "seldom": seldom, "least": least})


def _where(examples: Sequence[Example]) -> dict[str, Any]:
    """The file and the lines of some examples."""
    return {"file": examples[0].file, "lines": [example.line for example in examples]}


def _without(examples: Sequence[AnExample], others: Sequence[AnExample]) -> tuple[list[AnExample], list[Finding]]:
    """The examples whose texts don't stand among the others, and what is to be said of those that do."""
    elsewhere = {normal(other.text): other for other in others}
    leaks = [example for example in examples if normal(example.text) in elsewhere]
    if not leaks:
        return list(examples), []
    there = list({id(other): other for other in (elsewhere[normal(example.text)] for example in leaks)}.values())
    values = {"count": len(leaks), **_where(leaks), "other": there[0].file, "other_lines": [other.line for other in there]}
    return [example for example in examples if normal(example.text) not in elsewhere], [Finding("leaks", values)]


def _repeated(examples: Sequence[Example]) -> list[Finding]:
    """What is to be said of texts that stand there more than once, with the same labels or with different ones."""
    first: dict[str, Example] = {}
    again, against = list[Example](), list[Example]()
    for example in examples:
        before = first.setdefault(normal(example.text), example)
        if before is not example:
            (again if set(before.labels) == set(example.labels) else against).append(example)
    found = []
    if again:
        found.append(Finding("repeated", {"count": len(again), **_where(again)}))
    if against:
        before = first[normal(against[0].text)]
        said = {"first": ", ".join(before.labels), "line": before.line, "second": ", ".join(against[0].labels)}
        found.append(Finding("contradictions", {"count": len(against), **_where(against), **said}))
    return found


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
