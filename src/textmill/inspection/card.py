"""A card: what is known of one thing, in sections of labelled lines, and the same as plain JSON values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LABEL_WIDTH = 20


@dataclass
class Card:
    """`sections` is for reading, `values` for programs. `next` is what its owner can type."""

    title: str
    values: dict[str, Any]
    sections: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    next: str = ""

    def render(self) -> str:
        """For a terminal."""
        lines = [self.title]
        for title, rows in self.sections.items():
            if rows:
                lines += ["", title, *(f"  {label.ljust(LABEL_WIDTH)}{text}".rstrip() for label, text in rows)]
        return "\n".join([*lines, "", self.next] if self.next else lines)


def rows_of(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Values under their own names, those without one left out."""
    return [(key.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value)) for key, value in values.items()]
