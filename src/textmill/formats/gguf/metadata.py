"""A model's shape out of a file's metadata: a config.json by other names, of which nothing is passed over in silence."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ...errors import ModelError
from ..layouts.stock_config import StockConfig

Shapes = Mapping[str, tuple[int, ...]]
Told = TypeVar("Told", str, bool, int)


def told(metadata: Mapping[str, Any], key: str, usual: Told) -> Told:
    """What a key says; the `usual` where it is missing. Raises ModelError where it is of another type."""
    value = metadata.get(key, usual)
    if type(value) is not type(usual):
        raise ModelError(f"{key} is {value!s:.80}; a value such as {usual!r} is wanted")
    return value


class Metadata(StockConfig):
    """The keys of one architecture, without its name before them, and the `shapes` of the file's tensors, which tell what no
    key does."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str, shapes: Shapes):
        own = {
            key.removeprefix(f"{architecture}."): value for key, value in metadata.items() if key.startswith(f"{architecture}.")
        }
        super().__init__(own, architecture)
        self.shapes = shapes
        self._asked: set[str] = set()

    def given(self, key: str) -> Any:
        """The value as it stands there; None where there is none."""
        self._asked.add(key)
        return super().given(key)

    def number(self, key: str, default: float | None = None) -> float:
        """A number above 0, as it was before it was rounded to float32."""
        return float(str(np.float32(super().number(key, default))))

    def check(self) -> None:
        """Raise ModelError with all that was wrong; so is a key that nobody asked for: it may change what is computed."""
        for key in self.values.keys() - self._asked:
            self.wrong(f"{key} is {str(self.values[key])[:80]}, which isn't held")
        super().check()

    def rows(self, name: str) -> int:
        """How many rows a tensor has; 1 where it is missing, of which those who look at the tensors have a word."""
        return self.shapes.get(name, (1,))[0]
