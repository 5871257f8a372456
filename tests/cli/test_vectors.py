"""`textmill vectors` and `textmill neighbours`: from any text to a file other tools read, and to words a person reads."""

import random
import signal
from pathlib import Path
from typing import Any

import pytest

from textmill.formats.word_vectors import read_word_vectors
from textmill.training.skip_gram import SkipGram

TOPICS = [["sea", "wave", "ship", "sail"], ["北", "京", "城", "門"]]
SETTINGS = ["--dimension", 8, "--epochs", 2, "--minimum-count", 2]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    draw = random.Random(1)
    paragraphs = [" ".join(draw.choices(topic, k=8)) for topic in TOPICS for _ in range(60)]
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    return path


def test_vectors_are_learnt_written_and_looked_at(textmill, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.txt"
    result = textmill("vectors", text, "--out", out, *SETTINGS)
    assert result.code == 0, result.err
    assert "8 words of 8 numbers" in result.out and "textmill neighbours" in result.out
    first = out.read_bytes()
    assert first.startswith(b"8 8\n") and set(read_word_vectors(out).words) == {*TOPICS[0], *TOPICS[1]}
    assert textmill("vectors", "-", "--out", out, *SETTINGS, typed=text.read_bytes()).code == 0
    assert out.read_bytes() == first
    result = textmill("neighbours", out, "Ship", "京", "--count", 3)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("Ship:  ") and len(lines) == 2 and lines[1].count(",") == 2


def test_mistakes(textmill, text: Path, tmp_path: Path) -> None:
    for words, expected in (
        (["vectors", text, "--out", tmp_path / "v.gz"], "leave out .gz"),
        (["vectors", text, "--minimum-count", 9999, "--out", tmp_path / "v.txt"], "lower --minimum-count"),
        (["vectors", tmp_path / "none.txt"], "does not exist"),
        (["neighbours", tmp_path / "none.txt", "sea"], "does not exist"),
        (["neighbours", text, "sea"], "line 3"),
    ):
        result = textmill(*words)
        assert result.code == 2 and expected in result.err and "Traceback" not in result.err, result
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_ctrl_c_leaves_the_file_as_it_was(textmill, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, steps, step = tmp_path / "v.txt", [], SkipGram.step
    out.write_text("before")

    def interrupted(model: SkipGram, *batch: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return step(model, *batch)

    monkeypatch.setattr(SkipGram, "step", interrupted)
    result = textmill("vectors", text, "--out", out, *SETTINGS)
    assert result.code == 130 and f"Stopped; {out} is as it was." in result.err and "Traceback" not in result.err
    assert len(steps) == 3 and sorted(path.name for path in tmp_path.iterdir()) == ["text.txt", "v.txt"]
    assert out.read_text() == "before"
