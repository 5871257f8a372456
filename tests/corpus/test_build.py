"""The corpus stage: counts add up exactly, the same input gives the same output, an error changes nothing."""

import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.corpus.build import BLOCK_CHARACTERS, build_corpus
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.store import read_corpus, read_drops
from textmill.errors import CorpusError
from textmill.files import read_json, sha256_of_file


def write_lines(path: Path, texts: list[str]) -> Path:
    records = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def build(source: Path, folder: Path, workers: int = 1, block_characters: int = BLOCK_CHARACTERS, **options: float) -> dict:
    settings = CorpusSettings(source=str(source), **options)
    return build_corpus(settings, folder, io.StringIO(), workers=workers, block_characters=block_characters)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from(["", "again and again", "短", "\x00"])), max_size=40))
def test_counts_add_up_whatever_comes_in(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        always = [f"document number {number}, kept for certain" for number in range(60)]
        card = build(write_lines(folder / "in.jsonl", texts + always), folder, minimum_characters=5, validation_fraction=0.5)
        train, validation = (
            list(read_corpus(folder / "train.jsonl.zst")),
            list(read_corpus(folder / "validation.jsonl.zst")),
        )
        drops = list(read_drops(folder / "dropped.jsonl.zst"))
    assert card["read"] == len(texts) + 60 == len(train) + len(validation) + len(drops)
    assert card["read"] == sum(side["documents"] for side in card["kept"].values()) + sum(
        count for rules in card["dropped"].values() for count in rules.values()
    )
    assert {record.id for record in (*train, *validation, *drops)} == {str(n) for n in range(len(texts) + 60)}
    assert card["kept"]["train"]["bytes"] == sum(len(document.text.encode()) for document in train)


def test_the_card_is_the_one_on_disk_and_repeats(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [f"text number {number} " * 5 for number in range(50)])
    first = build(source, tmp_path)
    files = [sha256_of_file(tmp_path / f"{name}.jsonl.zst") for name in ("train", "validation", "dropped")]
    assert read_json(tmp_path / "card.json") == first == build(source, tmp_path)
    assert files == [sha256_of_file(tmp_path / f"{name}.jsonl.zst") for name in ("train", "validation", "dropped")]


def test_added_documents_move_no_other(tmp_path: Path) -> None:
    texts = [f"text number {number} " * 5 for number in range(80)]
    build(write_lines(tmp_path / "in.jsonl", texts[:40]), tmp_path)
    before = {document.id for document in read_corpus(tmp_path / "validation.jsonl.zst")}
    build(write_lines(tmp_path / "in.jsonl", texts), tmp_path)
    after = {document.id for document in read_corpus(tmp_path / "validation.jsonl.zst")}
    assert {identifier for identifier in after if int(identifier) < 40} == before


def test_an_empty_side_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    long = "long enough to be kept, since it has more than fifty characters"
    with pytest.raises(CorpusError, match=r"no document is left of 2 \(2 too short\).*minimum_characters"):
        build(write_lines(tmp_path / "in.jsonl", ["a", "b"]), tmp_path)
    with pytest.raises(CorpusError, match=r"none of the 1 documents fell to validation; raise corpus.validation_fraction"):
        build(write_lines(tmp_path / "in.jsonl", [long]), tmp_path, validation_fraction=1e-9)
    with pytest.raises(CorpusError, match=r"none of the 1 documents fell to train; lower corpus.validation_fraction"):
        build(write_lines(tmp_path / "in.jsonl", [long]), tmp_path, validation_fraction=1 - 1e-9)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    with pytest.raises(CorpusError, match="no document is left"):
        build(write_lines(tmp_path / "in.jsonl", ["a", "b"] * 100), tmp_path, block_characters=10)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_files_in_another_encoding_are_counted_and_named(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(20):
        (notes / f"{number}.md").write_text(f"note number {number}, long enough to be kept. " * 3, encoding="utf-8")
    (notes / "旧笔记.txt").write_bytes("汉字笔记，一篇接一篇。".encode("gb18030") * 9)
    card = build(notes, tmp_path, validation_fraction=0.5)
    assert card["dropped"] == {"reader": {"another encoding": 1}}
    assert card["files_in_another_encoding"] == {"count": 1, "first": ["notes/旧笔记.txt"]}
    card = build(notes, tmp_path, validation_fraction=0.5, encoding=["utf-8", "gb18030"])
    assert card["read"] == sum(side["documents"] for side in card["kept"].values()) == 21
    with pytest.raises(CorpusError, match=r"no document is left of 21.*corpus.encoding \(now 'utf-32-be'\)"):
        build(notes, tmp_path, encoding="utf-32-be")


def test_a_damaged_corpus_is_named(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [f"text number {number} " * 5 for number in range(50)])
    build(source, tmp_path)
    path = tmp_path / "train.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorpusError, match="missing or damaged"):
        list(read_corpus(path))
