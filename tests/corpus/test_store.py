"""Documents on disk: any text comes back as it was, and no flipped byte passes for another document."""

import contextlib
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.corpus.document import Document
from textmill.corpus.store import RecordWriter, read_corpus
from textmill.errors import CorpusError
from textmill.files import atomic_file

names = st.text(min_size=1, max_size=5)
documents = st.lists(st.builds(Document, text=st.text(), id=names, source=names), max_size=5)


def write(path: Path, records: list[Document]) -> None:
    with atomic_file(path) as stream, contextlib.closing(RecordWriter(stream)) as writer:
        for record in records:
            writer.write(record)
        assert writer.count == len(records)


@settings(deadline=None, max_examples=80)
@given(documents)
def test_any_text_comes_back(records: list[Document]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "train.jsonl.zst", records)
        assert list(read_corpus(Path(folder) / "train.jsonl.zst")) == records


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_a_flipped_byte_is_noticed_or_changes_nothing(data: st.DataObject) -> None:
    records = [Document(text=f"text {n} of some length", id=str(n), source="test") for n in range(20)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl.zst"
        write(path, records)
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        try:
            assert list(read_corpus(path)) == records
        except CorpusError as error:
            assert "missing or damaged" in str(error)


def test_damage_is_not_taken_for_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.zst"
    path.write_bytes(zstandard.compress(b'{"text": "\xff"}\n'))
    with pytest.raises(CorpusError, match="missing or damaged"):
        list(read_corpus(path))
