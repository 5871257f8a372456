"""What this machine can do at best, and which of its limits a piece of work meets first: products, or memory.

The roofline model (Williams, Waterman & Patterson 2009): work can't take less time than its operations do at the rate of a
large matrix product, nor less than its bytes do at the rate of the memory; the longer of the two is what binds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MEMORY = "memory"


@dataclass(frozen=True)
class Limit:
    """What binds a piece of work: its `name` (`memory`, `float32 products`), and the least `seconds` that it takes."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Limits:
    """Operations per second in a matrix product by number format, and bytes per second of memory; 0 where unknown."""

    products: Mapping[str, float]
    memory: float

    def binding(self, operations: float = 0.0, format: str = "float32", bytes: float = 0.0) -> Limit | None:
        """The limit that so many operations in `format` on so many bytes meet first; None where none of them is known."""
        found = []
        if operations and self.products.get(format):
            found.append(Limit(f"{format} products", operations / self.products[format]))
        if bytes and self.memory:
            found.append(Limit(MEMORY, bytes / self.memory))
        return max(found, key=lambda limit: limit.seconds, default=None)
