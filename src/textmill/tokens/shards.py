"""Writing a tokenized corpus: shards of token numbers, the places where documents begin, and a checksummed manifest.

The stream is EOS, then each document's tokens followed by EOS; so every document stands as BOS + tokens + EOS in it.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..corpus.document import Document
from ..errors import CorpusError
from ..files import atomic_folder, fingerprint, write_json
from ..progress import Progress
from .tokenizer import Tokenizer

FORMAT = "textmill tokens"
VERSION = 1
MANIFEST = "manifest.json"
STARTS = "documents.bin"
START_TYPE = np.dtype("<i8")

PIECE = 2**18  # characters: a long document is encoded in parts, which also lets one document use all cores
BATCH = 2**21  # characters encoded together: some 100 MB while they are


def write_shards(
    folder: str | Path,
    tokenizer: Tokenizer,
    documents: Iterable[Document],
    shard_tokens: int = 2**27,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the documents' tokens to `folder`, which appears (or is replaced) only when all is written.

    Shards are files of `shard_tokens` little-endian numbers each, uint16 where the vocabulary allows, else uint32;
    documents go on from one shard to the next. Returns the manifest. `progress` is advanced by bytes of text. Raises
    CorpusError where there are no documents.
    """
    token_type = np.dtype("<u2" if tokenizer.vocabulary_size <= 2**16 else "<u4")
    count = text_bytes = lost_bytes = 0
    with atomic_folder(folder) as partial, contextlib.ExitStack() as files:
        shards = _ShardWriter(partial, token_type, shard_tokens, files)
        starts = _FileWriter(partial / STARTS, files)
        separator = np.array([tokenizer.document_end_id], dtype=token_type)
        shards.append(separator)
        begins = True
        for piece, ids, lost, ends in _encoded(tokenizer, documents):
            if begins:
                starts.write(np.array([shards.tokens], dtype=START_TYPE))
                count += 1
            shards.append(np.array(ids, dtype=token_type))
            if ends:
                shards.append(separator)
            begins = ends
            size = len(piece.encode())
            text_bytes, lost_bytes = text_bytes + size, lost_bytes + lost
            if progress:
                progress.advance(size)
        if not count:
            raise CorpusError(f"there are no documents to write to {folder}; the corpus steps have left none")
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "tokenizer": tokenizer.hash,
            "vocabulary_size": tokenizer.vocabulary_size,
            "separator": tokenizer.document_end_id,
            "dtype": "uint16" if token_type.itemsize == 2 else "uint32",
            "shard_tokens": shard_tokens,
            "documents": count,
            "tokens": shards.tokens,
            "text_bytes": text_bytes,
            "lost_bytes": lost_bytes,
            "shards": shards.close(),
            "starts": starts.close(),
        }
        manifest["fingerprint"] = fingerprint(manifest)
        write_json(partial / MANIFEST, manifest)
    return manifest


def _encoded(tokenizer: Tokenizer, documents: Iterable[Document]) -> Iterator[tuple[str, list[int], int, bool]]:
    """Every piece of every document with its tokens, its lost bytes, and whether the document ends with it."""
    for batch in _batches(tokenizer, documents):
        results = tokenizer.encode_with_losses([piece for piece, _ in batch])
        for (piece, ends), (ids, lost) in zip(batch, results):
            yield piece, ids, lost, ends


def _batches(tokenizer: Tokenizer, documents: Iterable[Document]) -> Iterator[list[tuple[str, bool]]]:
    batch: list[tuple[str, bool]] = []
    size = 0
    for document in documents:
        pieces = list(tokenizer.pieces(document.text, PIECE))
        for number, piece in enumerate(pieces, start=1):
            batch.append((piece, number == len(pieces)))
            size += len(piece) + 1
            if size >= BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


class _FileWriter:
    """One file, hashed while it is written, and closed with `files` whatever happens."""

    def __init__(self, path: Path, files: contextlib.ExitStack):
        self.path = path
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._stream: IO[bytes] = files.enter_context(open(path, "wb"))  # noqa: SIM115

    def write(self, values: np.ndarray) -> None:
        content = values.tobytes()
        self._stream.write(content)
        self._hash.update(content)
        self.bytes += len(content)

    def close(self) -> dict[str, Any]:
        """The file's line in the manifest."""
        self._stream.close()
        return {"name": self.path.name, "bytes": self.bytes, "sha256": self._hash.hexdigest()}


class _ShardWriter:
    """One stream of tokens over as many files as it takes."""

    def __init__(self, folder: Path, token_type: np.dtype, shard_tokens: int, files: contextlib.ExitStack):
        self.tokens = 0
        self._folder, self._shard_bytes = folder, shard_tokens * token_type.itemsize
        self._per_token = token_type.itemsize
        self._files = files
        self._finished: list[dict[str, Any]] = []
        self._file = self._next_file()

    def append(self, ids: np.ndarray) -> None:
        self.tokens += len(ids)
        while len(ids):
            if self._file.bytes == self._shard_bytes:
                self._finished.append(self._file.close())
                self._file = self._next_file()
            room = (self._shard_bytes - self._file.bytes) // self._per_token
            self._file.write(ids[:room])
            ids = ids[room:]

    def close(self) -> list[dict[str, Any]]:
        return [*self._finished, self._file.close()]

    def _next_file(self) -> _FileWriter:
        return _FileWriter(self._folder / f"tokens-{len(self._finished):05d}.bin", self._files)
