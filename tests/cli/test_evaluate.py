"""`textmill evaluate` on a real model: any text, the same figures as the library's, and nothing left out in silence."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest

from textmill import load
from textmill.corpus.document import Document
from textmill.evaluation.scorers import ModelScorer
from textmill.evaluation.side_by_side import hardest, system_names, xz_alone


@pytest.fixture
def notes(tmp_path: Path, texts: list[str]) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number, text in enumerate(texts[5:9]):
        (folder / f"{number}.txt").write_text(text[:1500].replace("the", "teh"), encoding="utf-8")
    return folder


def test_a_model_among_the_texts_is_told(textmill, tiny_run: Path, notes: Path) -> None:
    result = textmill("evaluate", tiny_run, notes, tiny_run / "model", tiny_run)
    assert result.code == 2 and f"--against {tiny_run / 'model'}\n" in result.err and result.err.count("not a text") == 2


def test_a_folder_of_notes_beside_another_model_and_an_n_gram(textmill, tiny_run: Path, notes: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_run / "model", other)
    words = ["--against", other, "--train-text", tiny_run.parents[1] / "text.jsonl", "--documents", 1]
    result = textmill("evaluate", tiny_run, notes, *words)
    assert result.code == 0, result.err
    rows = {line.split()[0] for line in result.out.splitlines() if line}
    assert {"tiny", "other", "7-gram"} <= rows
    assert "4 documents read, 4 scored" in result.out and "cleaned as a corpus is" in result.out
    assert re.search(r"tiny less other +\+0\.000 \[0\.000, 0\.000\]", result.out)
    assert "xz of the text alone:" in result.out
    assert "what cost the most bits/byte" in result.out and "what cost the fewest bits/byte" in result.out


def test_what_a_reader_says_of_a_file_isn_t_taken_for_an_empty_one(textmill, tiny_run: Path, tmp_path: Path) -> None:
    note = tmp_path / "old.txt"
    note.write_bytes("汉字笔记".encode("gb18030"))
    result = textmill("evaluate", tiny_run, note)
    assert result.code == 2 and "old.txt is not utf-8" in result.err
    result = textmill("evaluate", tiny_run, tmp_path)
    assert result.code == 2 and "1 reader: another encoding" in result.err


def test_the_figure_is_the_scorer_s_own_and_the_signature_says_on_what(textmill, tiny_run: Path, notes: Path) -> None:
    result = textmill("evaluate", tiny_run, notes, "--json", "--raw", "--documents", 9)
    assert result.code == 0, result.err
    report = json.loads(result.out)
    folder = load(tiny_run)
    documents = [Document(path.read_text(encoding="utf-8"), path.name, "notes") for path in sorted(notes.iterdir())]
    scores = list(ModelScorer(folder.model, folder.tokenizer, folder.model.config.context_length).score(documents))
    expected = sum(score.nats for score in scores) / math.log(2) / sum(score.bytes for score in scores)
    (system,) = report["systems"]
    assert system["bits_per_byte"]["value"] == pytest.approx(expected, rel=1e-5)
    signature = system["bits_per_byte"]["signature"]
    assert signature["cleaning"] == "none: as the readers give it"
    assert set(signature["files_sha256"]) == {f"notes/{number}.txt" for number in range(4)}
    assert len(report["worst_documents"]) + len(report["best_documents"]) == 4
    assert report["xz_alone"]["low"] is None and 0 < report["xz_alone"]["value"] < 8


def test_what_the_model_has_seen_is_said(textmill, tiny_run: Path) -> None:
    text = tiny_run.parents[1] / "text.jsonl"
    result = textmill("evaluate", tiny_run, text, "--maximum-bytes", 8000)
    assert result.code == 0, result.err
    assert "text.jsonl: tiny was trained on most of this file" in result.out
    assert "stand word for word in the training text of tiny" in result.out
    assert "left out beyond --maximum-bytes:" in result.out


def test_standard_input_and_other_formats(textmill, tiny_run: Path) -> None:
    piped = textmill("evaluate", tiny_run, "-", typed="Nur ein Satz: ä.".encode())
    assert piped.code == 0 and "1 documents read, 1 scored (18 bytes)" in piped.out and "unknown" in piped.out
    lines = b'{"body": "one two three"}\n{"body": "four five six"}\n{"body": "one two three"}\n'
    result = textmill("evaluate", tiny_run, "-", "--format", "jsonl", "--text-field", "body", typed=lines)
    assert "3 documents read, 2 scored" in result.out and "dropped: 1 duplicates: same text" in result.out


@pytest.mark.parametrize(
    "words, expected",
    [
        (["nothing.txt"], "does not exist"),
        (["-"], "standard input is empty"),
        (["sample:wikipedai"], "did you mean 'wikipedia'"),
        (["-", "--format", "pdf"], "format: Input should be"),
        (["-", "--encoding", "utf-9"], "no text encoding 'utf-9'"),
        (["NOTES", "--maximum-bytes", "10"], "fits in maximum_bytes = 10"),
        (["NOTES", "--train-text", "NOTES", "--ngram-order", "9"], "n-gram order 9 is out of range"),
        (["NOTES", "--against", "MODEL"], "is given twice"),
        (["NOTES", "--against", "nowhere"], "does not exist"),
    ],
)
def test_mistakes(textmill, tiny_run: Path, notes: Path, words: list[str], expected: str) -> None:
    places = {"NOTES": notes, "MODEL": tiny_run / "model"}
    result = textmill("evaluate", tiny_run, *(places.get(word, word) for word in words))
    assert result.code == 2
    assert expected in result.err and "Traceback" not in result.err


def test_names_and_orders(tiny_run: Path) -> None:
    assert system_names([tiny_run / "model", Path("a/model"), Path("b")]) == ["tiny", "a", "b"]
    assert system_names([Path("x/a/model"), Path("y/a")]) == ["x/a/model", "y/a"]
    assert hardest([], 3) == ([], [])


def test_xz_alone_falls_with_repetition() -> None:
    once = xz_alone([Document("some words of a text " * 5, "1", "s")])
    often = xz_alone([Document("some words of a text " * 5, str(n), "s") for n in range(20)])
    assert often.value < once.value < 8 and math.isnan(once.low)
