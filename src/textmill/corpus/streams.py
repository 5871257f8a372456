"""From a file's bytes to decoded text, in pieces of bounded size, with the place of what can't be read.

Everything above works on chunks, so that a dump of any size, or one line of gigabytes, takes the same little memory.
"""

import bz2
import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import zstandard

from ..errors import CorpusError

CHUNK_BYTES = 1 << 16
ZSTD_INPUT_BYTES = 1 << 12  # one byte can grow to some 30,000: a small input bounds what one step gives
COMPRESSIONS = (".gz", ".bz2", ".zst")

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

Advance = Callable[[int], None]
"""Called with the number of bytes that were read from the disk."""


class TruncatedError(Exception):
    """The file ends before what it holds does."""


class DamagedError(Exception):
    """The file's compressed data contradict themselves."""


class EncodingError(CorpusError):
    """The file isn't in the encoding it was to be read by. `place` and `reason` tell of the first byte that doesn't fit."""

    def __init__(self, path: Path, encoding: str, place: str, reason: str, others: Sequence[str] = ()):
        self.place, self.reason = place, reason
        also = f", nor {' nor '.join(others)}" if others else ""
        super().__init__(
            f"{path} is not {encoding}{also}: {place}: {reason}; say how the file is encoded with corpus.encoding or "
            "--encoding (for Chinese often 'gb18030', for older Western text 'cp1252'), or convert it to UTF-8"
        )


def byte_chunks(path: Path, advance: Advance | None = None) -> Iterator[bytes]:
    """The decompressed bytes of `path`.

    Raises TruncatedError where the compressed data end too early, DamagedError where they are no such data.
    """
    with open(path, "rb") as raw:
        position = 0
        try:
            for chunk in _decompressed(raw, path.suffix.lower()):
                yield chunk
                if advance and raw.tell() != position:
                    advance(raw.tell() - position)
                    position = raw.tell()
        except EOFError as error:
            raise TruncatedError from error
        except (zlib.error, zstandard.ZstdError, gzip.BadGzipFile) as error:
            raise DamagedError(str(error)) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise DamagedError(str(error)) from error  # bz2 says `Invalid data stream` with a bare OSError


def _decompressed(raw: IO[bytes], suffix: str) -> Iterator[bytes]:
    if suffix == ".zst":
        yield from _zstandard_chunks(raw)
        return
    stream: IO[bytes] = raw
    if suffix == ".gz":
        stream = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
    elif suffix == ".bz2":
        stream = bz2.BZ2File(raw)  # reads several streams in one file, as the multistream dumps have them
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _zstandard_chunks(raw: IO[bytes]) -> Iterator[bytes]:
    """All frames of a zstandard file. Its stream reader takes a truncated file for a whole one, so we look."""
    frame = None
    pending = b""
    while pending or (pending := raw.read(ZSTD_INPUT_BYTES)):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        if chunk := frame.decompress(pending):
            yield chunk
        pending = frame.unused_data if frame.eof else b""
        frame = None if frame.eof else frame
    if frame is not None:
        raise TruncatedError


def text_chunks(path: Path, encodings: Sequence[str], advance: Advance | None = None) -> Iterator[str]:
    """The decoded text of `path`: as its byte order mark says, else by the first of `encodings` that fits all of it.

    Where there is but one, it isn't tried out before. An EncodingError names the byte that doesn't fit, and its line.
    """
    yield from _decoded(path, fitting_encoding(path, encodings) if len(encodings) > 1 else _first(path, encodings), advance)


def fitting_encoding(path: Path, encodings: Sequence[str]) -> str:
    """The encoding that the byte order mark of `path` names, or the first of `encodings`, that fits all of the file.

    The old ones take almost any bytes for characters, so a NUL, which pictures and archives have, fits none of them.
    Raises EncodingError, about the first of them, where none does.
    """
    first = _first(path, encodings)
    candidates = [first] if first not in encodings else list(encodings)
    failures = []
    for encoding in candidates:
        try:
            for text in _decoded(path, encoding):
                if "\0" in text and not encoding.lower().startswith("utf"):
                    raise EncodingError(path, encoding, "NUL", "no text has this character")
            return encoding
        except EncodingError as error:
            failures.append(error)
    raise EncodingError(path, first, failures[0].place, failures[0].reason, candidates[1:])


def _first(path: Path, encodings: Sequence[str]) -> str:
    """What to try first: the encoding that the file's byte order mark names, else the first of `encodings`."""
    start = next(byte_chunks(path), b"")
    return next((encoding for mark, encoding in _MARKS.items() if start.startswith(mark)), encodings[0])


def _decoded(path: Path, encoding: str, advance: Advance | None = None) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    read, lines = 0, 1
    final = False
    chunks = byte_chunks(path, advance)
    while not final:
        chunk = next(chunks, b"")
        final = not chunk
        read += len(chunk)
        try:
            text = decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            data = bytes(error.object)
            offset = read - len(data) + error.start
            lines += data[: error.start].count(b"\n")
            place = f"byte 0x{data[error.start]:02x} at offset {offset:,} (line {lines:,})"
            raise EncodingError(path, encoding, place, error.reason) from error
        lines += text.count("\n")
        if text:
            yield text


def lines(chunks: Iterator[str], longest: int) -> Iterator[str]:
    """The lines of a text without their ends. A line longer than `longest` characters comes cut to `longest` + 1."""
    rest = ""
    for chunk in chunks:
        *whole, last = chunk.split("\n")
        for line in whole:
            yield (rest + line)[: longest + 1]
            rest = ""
        rest = (rest + last)[: longest + 1]
    if rest:
        yield rest
