"""`textmill judge` on real models: the report and the answers beside it, the figure of `evaluate`, and mistakes with lines."""

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    rows = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def choices(count: int = 6) -> list[dict[str, Any]]:
    return [{"question": f"What is {n}?", "choices": ["a number", "a statement"], "answer": 0} for n in range(count)]


def test_a_report_with_baselines_and_the_answers_beside_it(textmill, tiny_run: Path, tmp_path: Path) -> None:
    task = write(tmp_path / "numbers.jsonl", {"kind": "multiple choice", "shots": 1}, *choices())
    text = tiny_run.parents[1] / "text.jsonl"
    result = textmill("judge", tiny_run, task, "--out", tmp_path / "report.json", "--train-text", text)
    assert result.code == 0, result.err
    assert all(name in result.out for name in ("tiny", "tiny, without the question", "n-gram", "chance", "accuracy per byte"))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    signature = report["scores"][0]["signature"]
    assert signature["settings"]["shots"] == 1 and signature["settings"]["prompt"] == "{question}"
    assert len(signature["sha256"]["numbers.jsonl"]) == len(signature["system"]["model_sha256"]) == 64
    answers = [json.loads(line) for line in (tmp_path / "report.answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(answers) == 6 * 4
    mine = [answer for answer in answers if answer["system"] == "tiny"]
    assert sum(answer["right"] for answer in mine) / 6 == report["scores"][0]["value"]


def test_the_likelihood_of_texts_is_what_evaluate_says(textmill, tiny_run: Path, tmp_path: Path, texts: list[str]) -> None:
    task = write(tmp_path / "topics.jsonl", *({"text": text[:900]} for text in texts[5:9]))
    judged = json.loads(textmill("judge", tiny_run, task, "--json").out)["scores"]
    evaluated = json.loads(textmill("evaluate", tiny_run, task, "--raw", "--json").out)["systems"][0]
    assert judged[0]["value"] == pytest.approx(evaluated["bits_per_byte"]["value"], rel=1e-6)
    assert 2 ** judged[1]["value"] == pytest.approx(evaluated["word_perplexity"]["value"], rel=1e-4)


def test_two_models_are_compared_on_the_same_questions(textmill, tiny_run: Path, tmp_path: Path) -> None:
    copytree(tiny_run / "model", tmp_path / "other")
    result = textmill("judge", tiny_run, tmp_path / "other", write(tmp_path / "n.jsonl", *choices()))
    assert result.code == 0, result.err
    assert "tiny less other, accuracy: +0.000" in result.out and "p = 1.0000" in result.out


def test_all_mistakes_are_told_with_their_lines(textmill, tiny_run: Path, tmp_path: Path) -> None:
    wrong = write(
        tmp_path / "wrong.jsonl",
        {"kind": "multiple choice", "prompt": "{question} {hint}"},
        {"question": "?", "hint": "", "choices": ["a", "b"], "answer": 2},
        {"question": "?", "hint": "", "choices": ["a", ""], "answer": "c"},
        {"question": "?", "choices": ["a"], "answer": 0},
        {"question": "?", "hint": "", "choices": ["a", "b"]},
    )
    more = write(tmp_path / "more.jsonl", {"good": "same", "bad": "same"}, {"good": "", "bad": "x"})
    result = textmill("judge", tiny_run, wrong, more)
    assert result.code == 2
    for said in (
        "wrong.jsonl, line 2: answer: write the choice, or its number from 0 to 1; found 2",
        "wrong.jsonl, line 3: choices: number 1 (from 0) is empty",
        "wrong.jsonl, line 3: answer: 'c' is none of the choices",
        "wrong.jsonl, line 4: the prompt's field 'hint' is missing",
        "wrong.jsonl, line 5: the field 'answer' is missing",
        "more.jsonl, line 1: good and bad are the same text",
        "more.jsonl, line 2: good: write a text; found ''",
    ):
        assert said in result.err, result.err


def test_what_does_not_fit_is_told_before_anything_is_asked(textmill, tiny_run: Path, tmp_path: Path) -> None:
    rows = [*choices(2), {"question": "word " * 90, "choices": ["a", "b"], "answer": 0}]
    result = textmill("judge", tiny_run, write(tmp_path / "long.jsonl", *rows, {**rows[-1], "question": "other " * 99}))
    assert result.code == 2 and result.out == ""
    assert "long.jsonl, line 3: for tiny, " in result.err and "long.jsonl, line 4: for tiny, " in result.err
    assert "too many for the model's context of 64" in result.err


@pytest.mark.parametrize(
    "lines, expected",
    [
        (["{"], "line 1: no JSON"),
        (["[]"], "line 1: write a JSON object"),
        ([""], "holds no question"),
        ([{"questoin": "?"}], "line 1: what kind of task is it? Found the fields questoin"),
        ([{"kind": "multiple choices"}, {"a": 1}], "line 1: kind: "),
        ([{"kind": "rolling", "shot": 1}, {"text": "a"}], "unknown key shot, did you mean 'shots'?"),
        ([{"kind": "rolling", "shots": 1}, {"text": "a"}], "rolling takes no examples"),
        ([{"kind": "multiple choice", "shots": 9}, *choices(2)], "shots: 9 are wanted and 1 other"),
        ([{"kind": "multiple choice", "answer": "x"}, *choices(2)], "{answer} has to stand in it"),
        ([{"kind": "multiple choice", "examples": "numbres.jsonl"}, *choices(2)], "there is no file"),
    ],
)
def test_files_that_are_no_tasks(textmill, tiny_run: Path, tmp_path: Path, lines: list[Any], expected: str) -> None:
    result = textmill("judge", tiny_run, write(tmp_path / "numbers.jsonl", *lines))
    assert result.code == 2 and expected in result.err and "Traceback" not in result.err


def test_what_is_missing_or_no_model_is_told(textmill, tiny_run: Path, tmp_path: Path) -> None:
    task = write(tmp_path / "n.jsonl", *choices())
    for words, expected in (
        ([tiny_run], "give a task, a .jsonl file"),
        ([task], "give a model"),
        ([tiny_run, task, task], "2 tasks are called n"),
        ([tiny_run, task, "--chat"], "has no chat template"),
        ([tmp_path / "nowhere", task], "does not exist"),
        ([tiny_run, task, "--out", tmp_path / "report.txt"], "ends in .json"),
    ):
        result = textmill("judge", *words)
        assert result.code == 2 and expected in result.err, result.err


@pytest.fixture
def report(textmill, tiny_run: Path, tmp_path: Path) -> Path:
    """A report on a copy of the model, beside its questions."""
    copytree(tiny_run / "model", tmp_path / "mine")
    task = write(tmp_path / "numbers.jsonl", {"kind": "multiple choice", "shots": 1}, *choices())
    told = write(tmp_path / "told.jsonl", {"text": "A statement of some length."}, {"text": "Another one."})
    result = textmill("judge", tmp_path / "mine", task, told, "--out", tmp_path / "report.json")
    assert result.code == 0, result.err
    return tmp_path / "report.json"


def test_a_score_that_holds_is_said_to(textmill, report: Path) -> None:
    result = textmill("verify", report)
    assert result.code == 0, result.out
    assert result.out.count("holds  ") == 2 * 3 + 2 and "doesn't" not in result.out


def test_what_has_changed_is_said_of_each_score(textmill, report: Path, tiny_run: Path) -> None:
    folder = report.parent
    told = folder / "told.jsonl"
    told.write_text(told.read_text(encoding="utf-8").replace("length", "size"), encoding="utf-8")
    result = textmill("verify", report)
    assert result.code == 1
    lines = {line.partition(": ")[0].split("  ")[-1].strip(): line for line in result.out.splitlines()}
    assert lines["numbers, mine, accuracy"].startswith("holds")
    assert "the questions have changed; the value is another" in lines["told, mine, bits per byte"]

    values = json.loads(report.read_text(encoding="utf-8"))
    for score in values["scores"]:
        score["signature"]["system"]["model_sha256"] = "0" * 64
    report.write_text(json.dumps(values), encoding="utf-8")
    result = textmill("verify", report)
    assert result.code == 1 and "numbers, mine, accuracy: " in result.out and "the model has changed" in result.out

    (folder / "numbers.jsonl").unlink()
    result = textmill("verify", report)
    assert result.code == 1 and "it can't be made again; there is no file" in result.out


def test_a_report_that_can_t_be_read_is_another_code(textmill, report: Path, tmp_path: Path) -> None:
    values = json.loads(report.read_text(encoding="utf-8"))
    for content, expected in (
        ("{", "is not valid JSON"),
        ("[]", "is no report"),
        (json.dumps({**values, "format": 9}), "format 9"),
        (json.dumps({**values, "asked": None}), "Python objects"),
        (json.dumps({**values, "asked": {"models": [1], "tasks": [], "train_text": []}}), "is no report"),
    ):
        report.write_text(content, encoding="utf-8")
        result = textmill("verify", report)
        assert result.code == 2 and expected in result.err, result.err
    assert textmill("verify", tmp_path / "nothing.json").code == 2
