"""Labelled texts from files: tables (.csv, .tsv), .jsonl, or lines that begin with a label.

What can't be read is told with its line, all such lines of a file together. A row without a text or without a label is left out
and counted; nothing goes in silence.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TaskError
from .examples import Found, decoded, lines_named
from .json_lines import Malformed, json_lines

MARK = "__label__"
TEXT_COLUMNS, LABEL_COLUMNS = ("text", "sentence", "review", "content"), ("label", "labels", "class", "category")


@dataclass(frozen=True)
class LabelledText:
    """A text, its labels (none, where none fits; several, where a text may have these), and where it stands: its file and line,
    counted from 1."""

    text: str
    labels: tuple[str, ...]
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Reading:
    """How files are to be read. `text` and `label` name columns of a table, or keys; `separator` parts several labels, and
    `out_of_scope` is the label of texts that fit none of the others: they have no label from here on. Of tagged words they
    number columns, and `scheme` is that of the tags."""

    encoding: str = "utf-8"
    text: str | None = None
    label: str | None = None
    separator: str | None = None
    scheme: str | None = None
    out_of_scope: str | None = None


def read_labelled(path: str | Path, reading: Reading = Reading()) -> Found[LabelledText]:
    """The labelled texts of a file. Raises TaskError with the lines that can't be read."""
    path = Path(path)
    text = decoded(path, reading.encoding)
    suffix = Path(path.name.removesuffix(".gz")).suffix
    rows = FORMATS.get(suffix, _plain_lines)(path, text, reading)
    found = Found[LabelledText]()
    for line, content, labels in rows:
        missing = "no text" if not content.strip() else "no label" if labels is None else None
        if missing is not None:
            found.left_out.setdefault(missing, []).append(line)
        else:
            labels = tuple(label for label in labels or () if label != reading.out_of_scope)
            found.examples.append(LabelledText(content.strip(), labels, str(path), line))
    if not found.examples:
        raise TaskError(f"{path} holds no labelled text{_hint(suffix)}")
    return found


Row = tuple[int, str, tuple[str, ...] | None]  # line, text, labels: () where none fits, None where it isn't said


def _plain_lines(path: Path, text: str, reading: Reading) -> Iterator[Row]:
    """`label text`, a line each; __label__ before a label, as fastText has it, doesn't belong to it, and several labels may
    begin so."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        marked = []
        rest = line.strip()
        while rest.startswith(MARK):
            label, _, rest = rest.removeprefix(MARK).replace("\t", " ", 1).partition(" ")
            marked.append(label)
            rest = rest.lstrip()
        if marked:
            yield number, rest, tuple(marked) if all(marked) else None
        else:
            label, _, content = rest.partition("\t" if "\t" in rest else " ")
            yield number, content, _labels(label, reading)


QUOTES = 'a text that holds the separator or begins with " stands between two ", and one inside is written ""'


def _table(delimiter: str) -> Any:
    def rows(path: Path, text: str, reading: Reading) -> Iterator[Row]:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            text_column, label_column = _columns(path, header, reading)
            short, long = [], []
            for row in lines:
                if not row:
                    continue
                if len(row) <= max(text_column, label_column):
                    short.append(lines.line_num)
                    continue
                if len(row) > len(header):
                    long.append(lines.line_num)
                    continue
                yield lines.line_num, row[text_column], _labels(row[label_column], reading)
        except csv.Error as error:
            raise TaskError(f"{path}, line {lines.line_num:,}: {error}; {QUOTES}") from error
        problems = [
            f"{path}, {lines_named(wrong)}: {how} columns than the header's {len(header)}; {QUOTES}"
            for how, wrong in (("fewer", short), ("more", long))
            if wrong
        ]
        if problems:
            raise TaskError(*problems)

    return rows


def _columns(path: Path, header: Sequence[str], reading: Reading) -> tuple[int, int]:
    """Where the text and the label stand. Raises TaskError, naming the columns that are there."""
    found: dict[str, int] = {}
    for what, named, usual in (("text", reading.text, TEXT_COLUMNS), ("label", reading.label, LABEL_COLUMNS)):
        wanted = [named] if named is not None else usual
        places = [place for place, name in enumerate(header) if name.lower() in [each.lower() for each in wanted]]
        if places:
            found[what] = places[0]
    if len(header) == 2 and len(found) == 1:
        (what, place), *_ = found.items()
        if (reading.text if what == "label" else reading.label) is None:
            found["text" if what == "label" else "label"] = 1 - place
    if problems := [
        f"{path}: which column is the {what}? Found {', '.join(map(repr, header)) or 'none'}; name it: --{what}-column NAME"
        for what in ("text", "label")
        if what not in found
    ]:
        raise TaskError(*problems)
    return found["text"], found["label"]


def _json_lines(path: Path, text: str, reading: Reading) -> Iterator[Row]:
    text_key, label_key = reading.text or "text", reading.label
    form = f'write {{"{text_key}": "a text", "{label_key or "label"}": "its label"}}, or a list of labels'

    def read(value: dict[str, Any]) -> tuple[str, tuple[str, ...] | None]:
        content = value.get(text_key)
        found = value.get(label_key or ("labels" if "labels" in value else "label"))
        labels = [found] if isinstance(found, str | int) else found
        if (
            not isinstance(content, str)
            or not isinstance(labels, list)
            or not all(isinstance(each, str | int) for each in labels)
        ):
            raise Malformed(form)
        named = tuple(str(label).strip() for label in labels if str(label).strip())
        return content, named if named or not labels else None

    for number, (content, labels) in json_lines(path, text, form, read, {}):
        yield number, content, labels


def _labels(text: str, reading: Reading) -> tuple[str, ...] | None:
    """Those that are named. None are meant where none stands and several might; else it was forgotten."""
    if reading.separator is None:
        return (text.strip(),) if text.strip() else None
    return tuple(dict.fromkeys(part.strip() for part in text.split(reading.separator) if part.strip()))


FORMATS = {".csv": _table(","), ".tsv": _table("\t"), ".jsonl": _json_lines}


def _hint(suffix: str) -> str:
    ways = {".csv": "a header and rows", ".tsv": "a header and rows", ".jsonl": 'lines such as {"text": "…", "label": "…"}'}
    return f"; write {ways.get(suffix, 'lines such as: label text')}"
