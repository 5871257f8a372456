"""What doctor found: one line each, for people and for scripts."""

import shutil
import textwrap
from dataclasses import dataclass, field
from typing import Any, Literal

NAME_WIDTH = 16
COLOURS = {"ok": "32", "warn": "33", "none": "33", "FAIL": "31", "->": "36"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    `mark`: ok, warn (it works, and something is to be known), none (it isn't there), FAIL (looking at it failed, and `text`
    says why), -> (what follows from the others). `way_out` says what to do about it. `values` hold the numbers: bytes,
    seconds, operations per second.
    """

    section: str
    name: str
    mark: Literal["ok", "warn", "none", "FAIL", "->"]
    text: str
    way_out: str | None = None
    values: dict[str, Any] = field(default_factory=dict)

    def render(self, colour: bool) -> str:
        """The line as a terminal shows it: mark, name, text. The mark is a word, so that it reads without colour too."""
        mark = f"{self.mark:<4}"
        if colour:
            mark = f"\x1b[{COLOURS[self.mark]}m{mark}\x1b[0m"
        indent = " " * (8 + NAME_WIDTH)
        width = min(128, max(60, shutil.get_terminal_size((128, 24)).columns - 1)) - len(indent)
        return f"  {mark}  {self.name:<{NAME_WIDTH}}" + f"\n{indent}".join(textwrap.wrap(self.text, width))
