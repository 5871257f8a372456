"""A document on its way through the corpus: found, read, kept, changed, or dropped with its reason."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .settings import CorpusSettings


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


ANOTHER_ENCODING = "another encoding"
"""The reader's rule for a file of a folder that none of the recipe's encodings fits."""


class Unread(Protocol):
    """A document found but not yet made readable: the costly part of reading, which any process can do."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def text(self) -> str:
        """The text as it stands in the source, markup and all."""

    def read(self, settings: "CorpusSettings") -> Document | Drop:
        """Make it readable."""


Found = Document | Drop | Unread
"""What a reader gives."""
