"""A model's shape out of a file's metadata, key by key, with all that is wrong collected; nothing is passed over in silence."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

LARGEST_SIZE = 1 << 31
LONGEST_CONTEXT = 1 << 20  # tokens; tables of positions are made for so many


class Hyperparameters:
    """The keys of one architecture, without its name before them. What is asked for and isn't there, or can't be, is added to
    `problems`; so is, by `finish`, what nobody asked for, since it may change what the model computes."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str):
        self.architecture = architecture
        self._values = {
            key.removeprefix(f"{architecture}."): value for key, value in metadata.items() if key.startswith(f"{architecture}.")
        }
        self._asked: set[str] = set()
        self.problems: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def size(self, key: str, default: int | None = None, largest: int = LARGEST_SIZE) -> int:
        """A whole number from 1 to `largest`; 1 where it is wrong."""
        value = self._get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= largest:
            return value
        self._wrong(key, value, f"a whole number from 1 to {largest:,}")
        return 1

    def number(self, key: str, default: float | None = None) -> float:
        """A number above zero, as it was before it was rounded to float32; 1 where it is wrong."""
        value = self._get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(str(np.float32(value)))
        self._wrong(key, value, "a number above 0")
        return 1.0

    def text(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """One of the choices; the default where it is wrong."""
        value = self._get(key, default)
        if isinstance(value, str) and value in choices:
            return value
        self._wrong(key, value, f"one of {', '.join(choices)}")
        return default

    def expect(self, key: str, value: Any) -> None:
        """A key that may be missing, but says nothing else than this."""
        found = self._get(key, value)
        if isinstance(found, np.ndarray) or found != value:
            self._wrong(key, found, repr(value))

    def ignore(self, key: str) -> None:
        """A key that changes nothing."""
        self._asked.add(key)

    def finish(self) -> list[str]:
        """All problems, those of keys that weren't asked for among them."""
        unknown = [
            f"{self.architecture}.{key} = {_shown(value)} isn't held here"
            for key, value in self._values.items()
            if key not in self._asked
        ]
        return self.problems + unknown

    def _get(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        return self._values.get(key, default)

    def _wrong(self, key: str, value: Any, wanted: str) -> None:
        found = "is missing" if value is None else f"is {_shown(value)}"
        self.problems.append(f"{self.architecture}.{key} {found}; {wanted} is held here")


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray | list):
        return f"a list of {len(value):,}"
    shown = repr(value)
    return shown if len(shown) <= 64 else f"{shown[:64]}…"
