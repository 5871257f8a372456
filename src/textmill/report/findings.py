"""What was found in a task's data, in the page's languages: a key of words/LANGUAGE.toml, and the values it names."""

from collections.abc import Mapping, Sequence
from typing import Any

from .phrases import Phrase, phrase, phrase_or

SHOWN_LINES = 5  # of each finding


def finding(key: str, values: Mapping[str, Any]) -> Phrase:
    """The sentence. Numbers are written with their thousands, lists as lines of a file, a reason by its own phrase."""
    return phrase(f"data.{key}", **{name: _written(name, value) for name, value in values.items()})


def lines_named(lines: Sequence[int]) -> Phrase:
    """`line 3`, `lines 3, 8 and 12 more`."""
    shown = ", ".join(f"{line:,}" for line in lines[:SHOWN_LINES])
    if len(lines) == 1:
        return phrase("data.line", line=shown)
    more = len(lines) - SHOWN_LINES
    return phrase("data.lines_more", lines=shown, more=f"{more:,}") if more > 0 else phrase("data.lines", lines=shown)


def english(words: Phrase) -> str:
    """A phrase for a terminal."""
    return words.texts["en"].unescape()


def _written(name: str, value: Any) -> Any:
    if name == "reason":
        return phrase_or(f"data.reason_{str(value).replace(' ', '_')}", value)
    if isinstance(value, int):
        return f"{value:,}"
    return lines_named(value) if isinstance(value, list) else value
