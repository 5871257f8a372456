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
