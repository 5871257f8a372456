"""A model's shape out of a file's metadata: a config.json by other names, of which nothing is passed over in silence."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ...errors import ModelError
from ...models.config import TransformerConfig
from ..layouts.stock_config import LONGEST_CONTEXT, StockConfig
from .reader import GgufFile
from .values import Value

EMBEDDING = "token_embd.weight"
Shapes = Mapping[str, tuple[int, ...]]
Told = TypeVar("Told", str, bool, int)


def told(metadata: Mapping[str, Any], key: str, usual: Told) -> Told:
    """What a key says; the `usual` where it is missing. Raises ModelError where it is of another type."""
    value = metadata.get(key, usual)
    if type(value) is not type(usual):
        raise ModelError(f"{key} is {value!s:.80}; a value such as {usual!r} is wanted")
    return value


class Metadata(StockConfig):
    """The keys of one architecture, without its name before them, and the file's tensors, which tell what no key does: their
    `shapes`, and the numbers of one by `tensor`."""

    def __init__(self, file: GgufFile, architecture: str):
        own = f"{architecture}."
        super().__init__(
            {key.removeprefix(own): value for key, value in file.metadata.items() if key.startswith(own)}, architecture
        )
        self.shapes: Shapes = {name: place.shape for name, place in file.places.items()}
        self.tensor = file.tensor
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

    def plain_sizes(self) -> dict[str, Any]:
        """What `size_settings` writes, read: the sizes of a model whose heads are together as wide as it is."""
        sizes = self.plain_heads("embedding_length", "attention.head_count")
        self.must_be("attention.head_count_kv", sizes["heads"])
        self.must_be("vocab_size", self.rows(EMBEDDING))
        return {
            "vocabulary_size": self.rows(EMBEDDING),
            "context_length": self.size("context_length", largest=LONGEST_CONTEXT),
            "layers": self.size("block_count", largest=len(self.shapes)),
            **sizes,
            "feed_forward_width": self.size("feed_forward_length"),
        }


def size_settings(config: TransformerConfig) -> dict[str, Value]:
    """The sizes that every architecture spells alike."""
    return {
        "context_length": config.context_length,
        "embedding_length": config.width,
        "block_count": config.layers,
        "feed_forward_length": config.feed_forward_width,
        "attention.head_count": config.heads,
    }
