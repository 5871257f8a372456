"""The quality step: documents that a measure finds unlike a clean reference are dropped; what it finds is kept beside the text.

The measure is handed in, since models stand above the corpus. Any process can take it: it has to be picklable, and light.
"""

from collections import Counter
from dataclasses import replace
from typing import Protocol

from .document import Document, Drop
from .steps import Step

QUALITY = "quality"  # the step's name
BITS = "quality_bits"  # where a document's metadata hold what was measured
_DECIMALS = 3


class QualityMeasure(Protocol):
    """Bits per byte of a text, the fewer the more it is like the reference."""

    @property
    def identity(self) -> str:
        """Stands for all that the figures depend on."""

    def __call__(self, text: str) -> float: ...


def judge_quality(measure: QualityMeasure, maximum_bits: float | None) -> Step:
    """A step that drops documents above `maximum_bits` bits per byte, where that is given."""

    def judge(document: Document) -> Document | Drop:
        bits = round(measure(document.text), _DECIMALS)
        if maximum_bits is not None and bits > maximum_bits:
            rule = "unlike the reference"
            return Drop(document.id, document.source, QUALITY, rule, document.title, bits, maximum_bits)
        return replace(document, metadata={**document.metadata, BITS: bits})

    return judge


def bin_of(record: Document | Drop) -> str | None:
    """The hundredth of a bit that a judged document falls to, as JSON spells a key; None for others."""
    bits = record.metadata.get(BITS) if isinstance(record, Document) else record.value if record.step == QUALITY else None
    return None if bits is None else f"{float(bits):.2f}"


def deciles(bins: Counter[str]) -> list[float]:
    """The least, what a tenth, two tenths … of the documents don't pass, and the most: eleven figures, or none."""
    ordered = sorted((float(bits), count) for bits, count in bins.items())
    total, seen = bins.total(), 0
    figures: list[float] = []
    for bits, count in ordered:
        seen += count
        while len(figures) <= 10 and seen > len(figures) * (total - 1) // 10:
            figures.append(bits)
    return figures
