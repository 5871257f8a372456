"""Train or validation, decided by the document alone: a pure function, so it never changes when others are added."""

import hashlib
from typing import Literal

from .document import Document

Split = Literal["train", "validation"]


def split_of(document: Document, validation_fraction: float) -> Split:
    """The side of `document`, by a hash of its title, or of its id where it has no title.

    Documents of one title stay together. A larger fraction moves documents from train to validation only.
    """
    digest = hashlib.blake2b((document.title or document.id).encode(), digest_size=8).digest()
    return "validation" if int.from_bytes(digest, "big") < validation_fraction * 2**64 else "train"
