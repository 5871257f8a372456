"""Tables, left out or written as plain rows: `Year | Title | Role`, a line each.

A table is looked for line by line. One that is never closed loses its own lines only.
"""

import re
from collections import Counter
from collections.abc import Iterator

from . import marks

LONGEST_TEMPLATE = 50  # lines that a template in a cell may have

_OPEN = re.compile(r"^[\s:*#\x01]*\{\|")
_CLOSE = re.compile(r"^\s*\|\}(?!\})")
_PARTS = re.compile(r"\{\{|\[\[|\}\}|\]\]|\|\||!!|\|")


def read_tables(text: str, keep: bool, removed: Counter[str]) -> str:
    """`text` without its tables, counting what they held; or with their rows, where they are to be kept."""
    if "{|" not in text:
        return text
    kept: list[str] = []
    opened: list[int] = []  # how many lines were kept when each open table began
    for line in text.split("\n"):
        if _OPEN.match(line):
            opened.append(len(kept))
        kept.append(line)
        if opened and _CLOSE.match(line):
            start = opened.pop()
            rows = _rows(kept[start + 1 : -1]) if keep else []
            if not keep:
                removed["tables"] += sum(len(line) + 1 for line in kept[start:])
            kept[start:] = [*rows, line[line.index("|}") + 2 :] or marks.HOLE]
    return "\n".join(line for line in kept if not _OPEN.match(line))


def _rows(lines: list[str]) -> list[str]:
    """The rows between a table's `{|` and `|}`, their cells joined by marks; the caption is a row of its own."""
    rows: list[list[str]] = [[]]
    heading = False
    for line in _joined_templates(lines):
        content = line.strip()
        if content.startswith("|-"):
            rows.append([])
        elif content.startswith("|+"):
            rows += [[_without_attributes(content[2:])], []]
        elif content.startswith(("|", "!")):
            heading = content[0] == "!"
            rows[-1] += [_without_attributes(cell) for cell in _cells(content[1:], heading)]
        elif marks.CELL in content:  # a row of a table within this one
            rows += [[content], []]
        elif content and rows[-1]:
            content, *cells = _cells(content, heading)  # a line that `<br>` has begun may hold more cells
            cell, item = rows[-1][-1], content.lstrip("*#:; ")
            separator = "" if not cell else " " if heading and item == content else ", "
            rows[-1][-1] = f"{cell}{separator}{item}"
            rows[-1] += map(_without_attributes, cells)
    return [marks.CELL.join(["", *cells]) for cells in rows if cells]


def _joined_templates(lines: list[str]) -> Iterator[str]:
    """The lines, those of one template as one: within it a line may begin with `|` too."""
    start = 0
    while start < len(lines):
        end, depth = start, 0
        for end in range(start, min(len(lines), start + LONGEST_TEMPLATE)):
            depth += lines[end].count("{{") - lines[end].count("}}")
            if depth <= 0:
                break
        if depth > 0:  # it is never closed
            end = start
        yield " ".join(lines[start : end + 1])
        start = end + 1


def _cells(line: str, heading: bool) -> list[str]:
    """A line cut at `||` (in a heading also at `!!`), but not within links and templates."""
    cells, start, depth = [], 0, 0
    for part in _PARTS.finditer(line):
        if part[0] in ("{{", "[["):
            depth += 1
        elif part[0] in ("}}", "]]"):
            depth = max(0, depth - 1)
        elif depth == 0 and (part[0] == "||" or (part[0] == "!!" and heading)):
            cells.append(line[start : part.start()])
            start = part.end()
    return [*cells, line[start:]]


def _without_attributes(cell: str) -> str:
    """`style="…" | text` is `text`."""
    depth = 0
    for part in _PARTS.finditer(cell):
        if part[0] in ("{{", "[["):
            depth += 1
        elif part[0] in ("}}", "]]"):
            depth = max(0, depth - 1)
        elif depth == 0 and part[0] == "|":
            return cell[part.end() :].strip()
    return cell.strip()
