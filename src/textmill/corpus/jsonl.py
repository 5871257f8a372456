"""One JSON object a line, as most corpora are passed around. Broken lines are errors with their numbers."""

import json
from collections.abc import Iterator
from pathlib import Path

from ..errors import CorpusError
from .document import Document, Drop
from .settings import CorpusSettings
from .streams import Advance, lines, text_chunks

LONGEST_LINE = 1 << 26  # 64 Mi characters, several times the longest book
MOST_PROBLEMS = 10
DROP_FIELD = "textmill_drop"  # holds why a sample's maker left the line out, so that it is counted with all else


class _LineError(Exception):
    """What is wrong with one line."""


def read_jsonl(path: Path, name: str, settings: CorpusSettings, advance: Advance | None) -> Iterator[Document | Drop]:
    """One document a line; empty lines are passed over. All broken lines (ten at most) are reported together."""
    problems: list[str] = []
    number = count = 0
    for number, line in enumerate(lines(text_chunks(path, settings.encodings(), advance), LONGEST_LINE), 1):
        if not line.strip():
            continue
        count += 1
        try:
            document = _document(line, number, name, settings)
        except _LineError as error:
            problems.append(f"{path}, line {number:,}: {error}")
            if len(problems) == MOST_PROBLEMS:
                problems.append(f"{path}: more lines may be broken; reading stopped at line {number:,}")
                break
            continue
        if not problems:
            yield document
    if problems:
        raise CorpusError(*problems)
    if count == 0:
        yield Drop(name, name, "reader", "empty file")


def _document(line: str, number: int, name: str, settings: CorpusSettings) -> Document | Drop:
    if len(line) > LONGEST_LINE:
        raise _LineError(f"longer than {LONGEST_LINE:,} characters; cut it into several documents")
    try:
        record = json.loads(line)
    except ValueError as error:
        raise _LineError(f"not valid JSON ({error}): {line[:60]!r}; each line must be one JSON object") from error
    except RecursionError as error:
        raise _LineError(f"nested too deeply: {line[:60]!r}") from error
    if not isinstance(record, dict):
        raise _LineError(f"{_kind(record)} instead of an object; write {{{settings.text_field!r}: …}}")
    if isinstance(drop := record.get(DROP_FIELD), dict):
        rule, value, threshold = (str(drop.get(key, "")) for key in ("rule", "value", "threshold"))
        id = _label(record, "id") or f"{name}:{number}"
        return Drop(id, name, "sample", rule, _label(record, "title"), value, threshold)
    if settings.text_field not in record:
        found = ", ".join(map(repr, list(record)[:8])) or "none"
        raise _LineError(
            f"no field {settings.text_field!r}; its fields: {found}; name the right one by corpus.text_field or --text-field"
        )
    text = record[settings.text_field]
    if not isinstance(text, str):
        raise _LineError(f"the field {settings.text_field!r} holds {_kind(text)} instead of a string")
    title = _label(record, settings.title_field)
    return Document(_sound(text), _label(record, settings.id_field) or f"{name}:{number}", name, title)


def _label(record: dict, field: str) -> str:
    value = record.get(field)
    if value is None:
        return ""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise _LineError(f"the field {field!r} holds {_kind(value)} instead of a string or a whole number")
    return _sound(str(value))


def _sound(text: str) -> str:
    r"""`text` with surrogate pairs joined and lone ones (JSON can write `\ud800`) replaced: UTF-8 can't hold them."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _kind(value: object) -> str:
    kinds = {
        str: "a string",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "null")
