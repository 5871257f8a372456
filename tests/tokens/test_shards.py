"""What is written to shards is read back the same, whatever the shards' size, and no damage goes unnoticed."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.corpus.document import Document
from textmill.errors import CorpusError, RunError
from textmill.tokens import shards
from textmill.tokens.data import TokenData
from textmill.tokens.shards import write_shards
from textmill.tokens.tokenizer import Tokenizer


def documents_of(texts: list[str]) -> list[Document]:
    return [Document(text=text, id=str(number), source="test") for number, text in enumerate(texts)]


@pytest.fixture(scope="module")
def documents(texts: list[str]) -> list[Document]:
    return documents_of([*texts[-4:], "", "short", ""])


@pytest.fixture(scope="module")
def bpe(tokenizers_by_kind: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers_by_kind["bpe"]


@pytest.fixture(scope="module")
def folder(bpe: Tokenizer, documents: list[Document], tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokens") / "many"
    write_shards(folder, bpe, iter(documents), shard_tokens=1000)
    return folder


def expected_stream(tokenizer: Tokenizer, documents: list[Document]) -> list[int]:
    stream = [tokenizer.eos_id]
    for document in documents:
        stream += [*tokenizer.encode(document.text), tokenizer.eos_id]
    return stream


def test_the_stream_is_the_documents_between_separators(tokenizer: Tokenizer, documents, tmp_path) -> None:
    manifest = write_shards(tmp_path / "tokens", tokenizer, documents, shard_tokens=777)
    data = TokenData.open(tmp_path / "tokens")
    stream = expected_stream(tokenizer, documents)
    assert data.read(0, data.tokens).tolist() == stream
    starts = data.document_starts(0, data.tokens)
    assert len(starts) == data.documents == len(documents)
    assert (data.read(0, data.tokens)[starts - 1] == tokenizer.bos_id).all()
    assert manifest["text_bytes"] == sum(len(document.text.encode()) for document in documents)
    assert manifest["lost_bytes"] == sum(tokenizer.lost_bytes(document.text) for document in documents)
    assert len(manifest["shards"]) == -(-len(stream) // 777) > 1
    assert data.manifest == manifest
    assert manifest["tokenizer"] == tokenizer.hash


def test_long_documents_are_encoded_in_parts_without_a_trace(bpe: Tokenizer, documents, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "PIECE", 50)
    monkeypatch.setattr(shards, "BATCH", 120)
    write_shards(tmp_path / "tokens", bpe, documents)
    data = TokenData.open(tmp_path / "tokens")
    assert data.read(0, data.tokens).tolist() == expected_stream(bpe, documents)


def test_reads_across_shards_are_reads_of_one(bpe: Tokenizer, documents, folder: Path, tmp_path) -> None:
    write_shards(tmp_path / "one", bpe, documents)
    one, many = TokenData.open(tmp_path / "one"), TokenData.open(folder)
    assert len(one.manifest["shards"]) == 1 < len(many.manifest["shards"])
    random = np.random.default_rng(0)
    for _ in range(200):
        start, end = sorted(random.integers(0, one.tokens + 1, size=2).tolist())
        np.testing.assert_array_equal(one.read(start, end - start), many.read(start, end - start))
        starts = one.document_starts(0, one.tokens)
        within = starts[(starts >= start) & (starts < end)]
        np.testing.assert_array_equal(many.document_starts(start, end - start), within)


@pytest.mark.parametrize(("vocabulary_size", "dtype"), [(2**16, "uint16"), (2**16 + 1, "uint32")])
def test_the_type_holds_the_vocabulary(vocabulary_size: int, dtype: str, tmp_path, tokenizers_by_kind) -> None:
    class Wide(Tokenizer):
        """A byte tokenizer whose numbers end at the vocabulary's end, as a large one's would."""

        def encode_batch(self, texts):
            return [[id + self.vocabulary_size - 257 for id in ids] for ids in super().encode_batch(texts)]

    wide = Wide(tokenizers_by_kind["byte"]._backend)
    wide.vocabulary_size = vocabulary_size
    text = "".join(map(chr, range(256)))
    write_shards(tmp_path / "tokens", wide, documents_of([text]))
    data = TokenData.open(tmp_path / "tokens")
    assert data.read(0, 1).dtype == np.dtype(dtype)
    assert data.read(1, data.tokens - 2).tolist() == wide.encode(text)
    assert data.read(0, data.tokens).max() > vocabulary_size - 100


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_is_noticed_and_its_file_named(folder: Path, tmp_path, data: st.DataObject) -> None:
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    path = data.draw(st.sampled_from(sorted(copy.iterdir())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        opened = TokenData.open(copy)
    except RunError as error:
        assert path.name in str(error)
    else:  # other white space between the manifest's values is no damage
        assert path.name == "manifest.json"
        assert opened.manifest == json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_all_damaged_files_are_named_together(folder: Path, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "tokens-00000.bin").unlink()
    (copy / "tokens-00001.bin").write_bytes(b"\0")
    for verify in (True, False):
        with pytest.raises(RunError) as caught:
            TokenData.open(copy, verify=verify)
        missing, cut = caught.value.problems
        assert "tokens-00000.bin is missing" in missing
        assert "tokens-00001.bin has 1 bytes instead of 2000" in cut


def test_a_folder_without_a_manifest_and_a_manifest_of_something_else(tmp_path) -> None:
    with pytest.raises(RunError, match=r"no manifest\.json"):
        TokenData.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"stages": []}')
    with pytest.raises(RunError, match="no manifest of a tokenized corpus"):
        TokenData.open(tmp_path)


def test_no_documents_leave_no_folder(bpe: Tokenizer, tmp_path) -> None:
    with pytest.raises(CorpusError, match="no documents"):
        write_shards(tmp_path / "tokens", bpe, [])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_the_old_folder(bpe: Tokenizer, folder: Path, documents, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)

    def broken():
        yield documents[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        write_shards(copy, bpe, broken())
    assert TokenData.open(copy).manifest == TokenData.open(folder).manifest
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_reading_past_the_end_is_an_error(folder: Path) -> None:
    data = TokenData.open(folder)
    for start, count in ((0, data.tokens + 1), (-1, 1), (data.tokens + 1, 0)):
        with pytest.raises(IndexError):
            data.read(start, count)


def test_documents_keep_their_order_and_content(bpe: Tokenizer, folder: Path, documents) -> None:
    data = TokenData.open(folder)
    bounds = [*data.document_starts(0, data.tokens).tolist(), data.tokens]
    restored = [bpe.decode(data.read(a, b - a - 1).tolist()) for a, b in itertools.pairwise(bounds)]
    assert restored == [document.text for document in documents]
