"""A document on its way through the corpus: kept, changed, or dropped with its reason."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Document:
    """One piece of text with its origin.

    `id` names the document within its source and stays the same when others are added; `title` is what people call it
    (empty where there is none).
    """

    text: str
    id: str
    source: str
    title: str = ""
    language: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Drop:
    """Why a document was left out: the step and rule that did it, what was measured, and against which threshold."""

    id: str
    source: str
    step: str
    rule: str
    title: str = ""
    value: float | int | str = ""
    threshold: float | int | str = ""
    span: str = ""
