"""What systems are compared by: bits per byte where they predict text, the share of hidden words guessed where they fill it in.

Each is an amount of a document over its size, summed over documents. Systems of different measures stand in different tables.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import RunError
from ..score import BITS_PER_BYTE, BITS_PER_MASKED_WORD


class Amount(NamedTuple):
    """What one document comes to."""

    amount: float
    size: float


Documents = dict[tuple[str, str], Amount]
"""What a system made of each document, by source and id."""


@dataclass(frozen=True)
class Measure:
    """One way to compare. `of` takes it from a document's score; `picture` is the file that shows how it was reached."""

    name: str
    unit: str
    of: Callable[[Any], Amount]
    lower_is_better: bool
    picture: str


MEASURES = {
    BITS_PER_BYTE.key: Measure(
        "bits per byte",
        BITS_PER_BYTE.unit,
        lambda score: Amount(score.nats / math.log(2), score.bytes),
        lower_is_better=True,
        picture="comparison.svg",
    ),
    BITS_PER_MASKED_WORD.key: Measure(
        "masked-word accuracy",
        "of the hidden words",
        lambda score: Amount(score.right, score.words),
        lower_is_better=False,
        picture="comparison-masked.svg",
    ),
}
"""By the figure that an evaluation names as its own."""


def measure_of(figure: str) -> Measure:
    """The measure of runs whose evaluation has this figure. Raises RunError for one that can't be compared yet."""
    if figure not in MEASURES:
        raise RunError(f"runs judged by {figure} can't be compared; those judged by {' or '.join(MEASURES)} can")
    return MEASURES[figure]
