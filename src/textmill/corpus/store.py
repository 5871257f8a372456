"""Documents on disk: one JSON object a line, compressed with zstandard. The same documents give the same bytes."""

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from ..errors import CorpusError
from .document import Document, Drop
from .streams import DamagedError, EncodingError, TruncatedError, lines, text_chunks

_UNLIMITED = 1 << 31


class RecordWriter:
    """Writes documents or drops to an open binary file, as one zstandard frame."""

    def __init__(self, stream: IO[bytes]):
        self._compressed = zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(stream, closefd=False)
        self._text = io.TextIOWrapper(self._compressed, encoding="utf-8", newline="\n")
        self.count = 0

    def write(self, record: Document | Drop) -> None:
        """Append one record, without its empty fields."""
        fields = {key: value for key, value in dataclasses.asdict(record).items() if value not in ("", {})}
        if isinstance(record, Document):
            fields.setdefault("text", record.text)
        self._text.write(json.dumps(fields, ensure_ascii=False) + "\n")
        self.count += 1

    def close(self) -> None:
        """End the frame. The file stays open: more frames may follow."""
        self._text.close()


def read_corpus(path: str | Path) -> Iterator[Document]:
    """The documents of a `train.jsonl.zst` or `validation.jsonl.zst`, in order, streaming."""
    for record in read_records(path):
        yield Document(**record)


def read_drops(path: str | Path) -> Iterator[Drop]:
    """The drops of a `dropped.jsonl.zst`, in order, streaming."""
    for record in read_records(path):
        yield Drop(**record)


def read_records(path: str | Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file of ours; a CorpusError where it is missing or damaged."""
    path = Path(path)
    try:
        for line in lines(text_chunks(path, ["utf-8"]), _UNLIMITED):
            yield json.loads(line)
    except EncodingError as error:  # we wrote UTF-8: no other encoding is worth a try
        raise CorpusError(f"{path} is missing or damaged (it isn't UTF-8 any more); build the corpus again") from error
    except (OSError, ValueError, TruncatedError, DamagedError) as error:
        raise CorpusError(f"{path} is missing or damaged ({error or 'truncated'}); build the corpus again") from error
