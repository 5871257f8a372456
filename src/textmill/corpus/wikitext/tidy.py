"""The last pass: what the removed markup left behind (empty brackets, doubled spaces, loose commas, stray braces).

Each rule acts only on traces of markup, so that `f()` and `a || b` in an article about programming stay.
"""

import re

from .marks import (
    CELL,
    COMPUTED,
    HOLE,
    SUBSCRIPT_CLOSE,
    SUBSCRIPT_OPEN,
    SUPERSCRIPT_CLOSE,
    SUPERSCRIPT_OPEN,
)

_SWITCHES = re.compile(
    "__(?:NO|FORCE)?TOC__|__(?:NOEDITSECTION|(?:NO)?NEWSECTIONLINK|NOGALLERY|HIDDENCAT|(?:NO)?INDEX|STATICREDIRECT"
    "|NOTITLECONVERT|NOCONTENTCONVERT|NOTC|NOCC|DISAMBIG|EXPECTUNUSEDCATEGORY)__"
)
_BLANKS = "\u00a0\u2002\u2003\u2009\u200a\u202f"
_RAISED_CHARACTERS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_LOWERED_CHARACTERS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_RAISED = re.compile(f"{SUPERSCRIPT_OPEN}([^{SUPERSCRIPT_OPEN}{SUPERSCRIPT_CLOSE}]*){SUPERSCRIPT_CLOSE}")
_LOWERED = re.compile(f"{SUBSCRIPT_OPEN}([^{SUBSCRIPT_OPEN}{SUBSCRIPT_CLOSE}]*){SUBSCRIPT_CLOSE}")

_STRAY = re.compile(r"\{\{\{?[^{}|\n]{0,60}\||\[\[[^\[\]|\n]{0,200}\||\{\{+|\}\}+|\[\[|\]\]|<!--|-->")

_BRACKETS = re.compile(rf"([(\[（])([^()\[\]（）\n{HOLE}{COMPUTED}]*[{HOLE}{COMPUTED}][^()\[\]（）\n]*)([)\]）])")
_LINKING = r"(?:or|and|also|from|pronounced|pronunciation|listen|IPA|English|locally)\b:?"
_LEAD = re.compile(rf"^(?:[\s,;:/、，；–—-]|{HOLE}|{_LINKING}(?=[\s,;]*{HOLE}))+", re.IGNORECASE)
_COMMAS = (",", ";", "，", "；", "、")
_LOOSE = " \t\n,;:/、，；–—-"
_LINKING_TAIL = re.compile(rf"(?<=[\s,;{HOLE}]){_LINKING}$", re.IGNORECASE)
_MOST_LINKING = 10  # words such as `or` that are taken away one after another
_PRONOUNCED = re.compile(rf",?[ \t]*\b(?:is )?pronounced[ \t]*{HOLE}+,?", re.IGNORECASE)
_HOLES = re.compile(f"{HOLE}[{HOLE} \t]*{HOLE}")
_HOLE_BEFORE_MARK = re.compile(rf"{HOLE}[{HOLE} \t]*(?=[,.;:!?)\]，。；：！？）、])")
_HOLE_BEFORE_COMMA = re.compile(rf"{HOLE}[{HOLE} \t]*[,;，；、]")
_LIST_MARKS = re.compile(rf"^[{HOLE} \t]*([*#:;]+)[{HOLE} \t]*([*#:;]*)")
_TABLE_LINE = re.compile(r"^\s*(?:\{\||\||!.*(?:!!|scope=|style=|colspan=|rowspan=))")
_RULE = re.compile(r"^-{4,}")
_COORDINATES = re.compile(r"[\d.]+°[\d.′″]*[NS] [\d.]+°[\d.′″]*[EW]")
_LOST_LABEL = re.compile(rf"^([*#:;]+)[ \t]*{HOLE}[{HOLE} \t]*[:：,，、;；][ \t]*", re.MULTILINE)  # a flag: its channel


def tidy(text: str) -> str:
    """Resolve every mark in `text` and smooth what the removed markup left; one blank line at most between lines."""
    for blank in _BLANKS:
        text = text.replace(blank, " ")
    text = _STRAY.sub("", _single_blanks(_SWITCHES.sub("", text) if "__" in text else text))
    if SUPERSCRIPT_OPEN in text or SUBSCRIPT_OPEN in text or SUPERSCRIPT_CLOSE in text or SUBSCRIPT_CLOSE in text:
        text = _RAISED.sub(lambda match: _shift(match[1], _RAISED_CHARACTERS), text)
        text = _LOWERED.sub(lambda match: _shift(match[1], _LOWERED_CHARACTERS), text)
        text = re.sub(f"[{SUPERSCRIPT_OPEN}{SUPERSCRIPT_CLOSE}{SUBSCRIPT_OPEN}{SUBSCRIPT_CLOSE}]", "", text)
    if HOLE in text or COMPUTED in text:
        text = _tidy_holes(text)
    lines = [_tidy_line(line) for line in text.split("\n")]
    return re.sub(r"\n\n\n+", "\n\n", "\n".join(line for line in lines if line is not None)).strip()


def _single_blanks(text: str) -> str:
    return re.sub(r"[ \t]{2,}", " ", text) if "  " in text or "\t" in text else text


def _tidy_holes(text: str) -> str:
    """Smooth what stands around holes. Each rule is sought from the holes: they are few beside the characters."""
    text = _HOLES.sub(HOLE, text)
    for _ in range(2):  # twice, for brackets within brackets
        text = _mend_brackets(text)
    if "ronounced" in text.lower():
        text = _PRONOUNCED.sub("", text)
    text = _join_commas(text)
    text = _LOST_LABEL.sub(r"\1 ", text)
    pieces, position = [], 0
    for hole in _HOLE_BEFORE_MARK.finditer(text):
        pieces.append(text[position : hole.start()].rstrip(" \t"))
        position = hole.end()
    return "".join([*pieces, text[position:]])


def _join_commas(text: str) -> str:
    """One comma for two that only a hole parts."""
    pieces, position = [], 0
    for hole in _HOLE_BEFORE_COMMA.finditer(text):
        before = text[position : hole.start()].rstrip(" \t")
        if before.endswith(_COMMAS):
            pieces.append(before)
            position = hole.end()
    return "".join([*pieces, text[position:]])


def _tidy_line(line: str) -> str | None:
    """One line without its marks; None where nothing but markup stood in it."""
    had_content = bool(line.strip())
    if CELL in line:
        return _tidy_row(line)
    marks, bullet = None, ""
    if not line[:1].isalnum():
        if _TABLE_LINE.match(line):
            return None
        line = _RULE.sub("", line)
        marks = _LIST_MARKS.match(line)
    if marks:
        bullet = "- " if set("*#") & set(marks[1] + marks[2]) else ""
        line = line[marks.end() :]
    line = _single_blanks(line.replace(HOLE, "").replace(COMPUTED, "")).strip()
    if "°" in line and _COORDINATES.fullmatch(line):  # they belong to the page's title
        return None
    if not line or (marks and not any(character.isalnum() for character in line) and "\x03" not in line):
        return None if had_content else ""
    return bullet + line


def _tidy_row(line: str) -> str | None:
    """A row of a table. A cell without words between others is a dash, so that they stay below their headings."""
    cells = [_tidy_line(cell) or "" for cell in line.split(CELL)[1:]]
    cells = [cell if any(map(str.isalnum, cell)) else "–" for cell in cells]
    worded = [number for number, cell in enumerate(cells) if cell != "–"]
    return " | ".join(cells[worded[0] : worded[-1] + 1]) if worded else None


def _mend_brackets(text: str) -> str:
    """Brackets that lost words: gone where nothing is left in them, else without the loose commas at their ends."""
    pieces, position = [], 0
    for match in _BRACKETS.finditer(text):
        before = text[position : match.start()]
        blank = before[-1:] if before.endswith((" ", "\t")) else ""
        pieces.append(before.removesuffix(blank))
        position = match.end()
        if COMPUTED in match[2]:
            continue
        content = _without_tail(_LEAD.sub("", match[2]))
        words = content.replace(HOLE, "").strip()
        pieces.append(f"{' ' if blank else ''}{match[1]}{content}{match[3]}" if words else HOLE)
    return "".join([*pieces, text[position:]])


def _without_tail(content: str) -> str:
    """`content` without the commas and holes at its end, nor the `or` that joined a hole to the rest."""
    for _ in range(_MOST_LINKING):
        words = content.rstrip(_LOOSE + HOLE)
        linking = _LINKING_TAIL.search(words[-20:]) if HOLE in content[len(words) :] else None
        if linking is None:
            return words
        content = words[: -len(linking[0])] + HOLE
    return content


def _shift(text: str, table: dict[int, int]) -> str:
    """Raised or lowered characters where Unicode has all of them, else the plain text."""
    text = text.strip("'")
    return text.translate(table) if text and all(ord(character) in table for character in text) else text
