"""The characters that carry a meaning between the passes of the converter.

All of them are control characters: XML can't hold them, and `prose` removes them from its input before it begins, so
they never stand for anything else. The last pass resolves them all.
"""

HOLE = "\x01"
"""Something without words of its own stood here: its brackets, blanks and commas go with it."""

COMPUTED = "\x02"
"""What follows was to be computed by the wiki at reading time: brackets that hold it go with it."""

ASIDE_OPEN, ASIDE_CLOSE = "\x03", "\x04"
"""Enclose the number of a verbatim text that was set aside."""

CELL = "\x0e"
"""Stands before each cell of a table's row."""

SUPERSCRIPT_OPEN, SUPERSCRIPT_CLOSE = "\x05", "\x06"
SUBSCRIPT_OPEN, SUBSCRIPT_CLOSE = "\x07", "\x08"


def superscript(text: str) -> str:
    """Mark `text` as raised."""
    return f"{SUPERSCRIPT_OPEN}{text}{SUPERSCRIPT_CLOSE}"


def subscript(text: str) -> str:
    """Mark `text` as lowered."""
    return f"{SUBSCRIPT_OPEN}{text}{SUBSCRIPT_CLOSE}"
