"""Plain text and Markdown: long files are cut at blank lines, since a book must not be one document in memory."""

import re
from collections.abc import Iterator
from pathlib import Path

from .document import ANOTHER_ENCODING, Document, Drop
from .settings import CorpusSettings
from .streams import Advance, EncodingError, fitting_encoding, text_chunks

PIECE_CHARACTERS = 32 * 1024
"""About ten printed pages: long enough to hold an argument, and a book gives enough pieces for validation."""

_BLANK_LINE = re.compile(r"\n[ \t\r\u3000]*\n\s*")
_SENTENCE_END = re.compile(r"[.!?。！？…]['\"”’」』]?\s*")


def read_plain_text(path: Path, name: str, settings: CorpusSettings, advance: Advance | None) -> Iterator[Document | Drop]:
    """The pieces `name#1`, `name#2`… of a .txt or .md file. Where they are cut depends on the text before only.

    A folder holds what its owner never looked at: a file in it that no encoding fits is a Drop, before any piece of it.
    One that was named is an error.
    """
    encodings = settings.encodings()
    if not any(Path(source).expanduser() == path for source in settings.sources()):
        try:
            encodings = [fitting_encoding(path, encodings)]
        except EncodingError as error:
            yield Drop(name, name, "reader", ANOTHER_ENCODING, value=error.place, threshold=", ".join(encodings))
            return
    number, buffer = 0, ""
    for chunk in text_chunks(path, encodings, advance):
        buffer += chunk
        while len(buffer) > 2 * PIECE_CHARACTERS:
            cut = _cutting_point(buffer)
            number += 1
            yield Document(buffer[:cut], f"{name}#{number}", name)
            buffer = buffer[cut:]
    while buffer:
        cut = _cutting_point(buffer) if len(buffer) > PIECE_CHARACTERS * 3 // 2 else len(buffer)
        number += 1
        yield Document(buffer[:cut], f"{name}#{number}", name)
        buffer = buffer[cut:]
    if number == 0:
        yield Drop(name, name, "reader", "empty file")


def _cutting_point(buffer: str) -> int:
    """Behind the last blank line of the piece's second half; failing that a line's end, a sentence's end, a blank."""
    start, end = PIECE_CHARACTERS // 2, PIECE_CHARACTERS
    for boundary in (_BLANK_LINE, re.compile(r"\n"), _SENTENCE_END, re.compile(r"\s")):
        cuts = [match.end() for match in boundary.finditer(buffer, start, end)]
        if cuts:
            return cuts[-1]
    return end
