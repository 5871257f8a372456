"""`textmill run` in a folder that holds a training already."""

import shutil
from pathlib import Path

import pytest


def test_the_files_that_changed_since_the_training_are_named(
    textmill, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    shutil.copytree(tiny_run.parents[1], place)
    monkeypatch.chdir(place)
    with open("text.jsonl", "a", encoding="utf-8") as stream:
        stream.write('\n{"id": "new", "text": "A paragraph about tomatoes that was not there before."}')
    for _ in range(2):  # asking doesn't make it known
        result = textmill("run", "tiny.toml")
        assert result.code == 2 and "source text was" in result.err and "--restart" in result.err
        assert "1 file changed: text.jsonl" in result.err
    shutil.copyfile("text.jsonl", "more.jsonl")
    result = textmill("run", "tiny.toml", "--set", 'corpus.source=["more.jsonl"]')
    assert "1 file new: more.jsonl" in result.err and "1 file gone: text.jsonl" in result.err


def test_the_quality_step_says_what_it_measured_and_a_changed_reference_is_noticed(
    textmill, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes = tmp_path / "notes"
    notes.mkdir()
    for number, text in enumerate(texts[1:40:2]):
        (notes / f"{number}.txt").write_text(text[:3000], encoding="utf-8")
    (notes / "mashed.txt").write_text("qwjk zxvq pfgj " * 20, encoding="utf-8")
    reference = tmp_path / "reference.txt"
    reference.write_text("\n\n".join(texts[::2]), encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        '[corpus]\nsource = "notes"\nvalidation_fraction = 0.3\nquality_reference = "reference.txt"\nquality_bits = 6\n'
        "[train]\nsteps = 1\n"
    )
    first = textmill("corpus", "r.toml")
    assert first.code == 0, first.err
    assert "1 dropped by quality: unlike the reference" in first.out and "bits per byte under the reference: " in first.out
    assert "inputs unchanged" in textmill("corpus", "r.toml").out
    reference.write_text("\n\n".join(texts[::3]), encoding="utf-8")
    assert "inputs changed" in textmill("corpus", "r.toml").out
    assert not list((tmp_path / "runs" / "r").glob(".quality.*"))
    reference.unlink()
    gone = textmill("corpus", "r.toml")
    assert gone.code == 2 and "reference.txt does not exist" in gone.err


def test_word_vectors_begin_a_training_and_belong_to_it(
    textmill, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    shutil.copytree(tiny_run.parents[1], place)
    monkeypatch.chdir(place)
    words = ["train", "tiny.toml", "--set", "train.steps=4", "--set", "train.embeddings=v.txt", "--out"]
    absent = textmill(*words, "with")
    assert absent.code == 2 and "v.txt does not exist" in absent.err
    vectors = ["vectors", "text.jsonl", "--epochs", 1, "--out", "v.txt", "--dimension"]
    assert textmill(*vectors, 16).code == 0
    narrow = textmill(*words, "with")
    assert narrow.code == 2 and "vectors of 16 numbers, and the model is 32 wide; write model.width = 16" in narrow.err
    assert textmill(*vectors, 32).code == 0
    first = textmill(*words, "with")
    assert first.code == 0 and " of 400 tokens begin with the vector of a word in v.txt" in first.out, first.err
    assert textmill(*words, "with").code == 0  # nothing to do
    shutil.copyfile("v.txt", "copy.txt")
    assert textmill(*words[:-2], "train.embeddings=copy.txt", "--out", "with").code == 0  # the same vectors, wherever they lie
    assert textmill(*vectors, 32, "--seed", 1).code == 0
    changed = textmill(*words, "with")
    assert changed.code == 2 and "word vectors was" in changed.err and "--restart" in changed.err
    without = textmill("train", "tiny.toml", "--set", "train.steps=4", "--out", "with")
    assert without.code == 2 and "word vectors was" in without.err
