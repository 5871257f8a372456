"""In cross-validation every text is judged once, by a model that hasn't seen it; labels are dealt evenly, like texts stay
together."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from textmill.errors import RunError, TaskError
from textmill.evaluation.label_metrics import accuracy
from textmill.tasks import Classify, Tag
from textmill.tasks.folds import cross_validate, deal, pooled
from textmill.tasks.labelled import LabelledText
from textmill.tasks.settings import TaskRecipe

from .test_classify import sentences, small


def test_labels_are_dealt_evenly_and_like_texts_together() -> None:
    examples = [LabelledText(f"text {number % 45}", ("often" if number % 5 else "seldom",)) for number in range(60)]
    found = deal(examples, 5, seed=0)
    assert found == deal(examples, 5, seed=0) != deal(examples, 5, seed=1)
    assert max(Counter(found).values()) - min(Counter(found).values()) <= 6  # 15 texts stand there twice
    for label in ("often", "seldom"):
        different = {(each.text, fold) for each, fold in zip(examples, found) if each.labels == (label,)}
        counts = Counter(fold for _, fold in different)
        assert len(counts) == 5 and max(counts.values()) - min(counts.values()) <= 1
    assert all(found[number] == found[number + 45] for number in range(15))
    for wrong in (1, 46):
        with pytest.raises(TaskError, match="at most as many as there are different texts, 45"):
            deal(examples, wrong, seed=0)


def test_the_pooled_score_is_that_of_all_texts() -> None:
    right = np.random.default_rng(0).random(900) < 0.8
    whole = accuracy(right, {})
    parts = [accuracy(part, {"test": str(number)}).to_dict() for number, part in enumerate(np.split(right, [200, 500]))]
    only_in_one = {**parts[0], "name": "F1 of a rare kind"}
    [found] = pooled([[parts[0], only_in_one], *([part] for part in parts[1:])])
    assert found.count == 900 and found.value == pytest.approx(whole.value)
    assert found.low == pytest.approx(whole.low, abs=0.004) and found.high == pytest.approx(whole.high, abs=0.004)


class Watched(Classify):
    """Notes what it is given to learn from and to be judged by."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.splits: list = []

    def learn(self, base, split, out, restart=False):
        self.splits.append(split)
        return super().learn(base, split, out, restart)


def test_every_text_is_judged_once_by_a_model_that_has_not_seen_it(tmp_path: Path, capsys) -> None:
    data, out = tmp_path / "data.txt", tmp_path / "folds"
    data.write_text("\n".join(sentences(120, 0)), encoding="utf-8")
    task = Watched(small("lstm", epochs=2))
    scores = cross_validate(task, None, data, 3, out=out)
    lines = Counter(example.line for split in task.splits for example in split.test)
    assert set(lines) == set(range(1, 121)) and set(lines.values()) == {1}
    for split in task.splits:
        asked = {example.text for example in split.test}
        assert not asked & {example.text for example in [*split.training, *split.validation]}
        assert len(split.training) + len(split.validation) + len(split.test) == 120
    told = json.loads((out / "scores.json").read_text())
    folds = [json.loads((out / f"fold-{number}" / "scores.json").read_text()) for number in (1, 2, 3)]
    right = sum(round(fold["scores"][0]["value"] * fold["scores"][0]["count"]) for fold in folds)
    assert scores[0].count == 120 and scores[0].value == pytest.approx(right / 120)
    assert told["scores"][0] == scores[0].to_dict() and [fold["scores"] for fold in told["folds"]] == [
        fold["scores"] for fold in folds
    ]
    assert set(folds[0]["perturbations"]) == {"typos", "capitals", "small letters", "words shuffled"}
    assert "by fold: " in capsys.readouterr().out and len(told["baselines"]) == 3

    before = (out / "fold-1" / "scores.json").stat().st_mtime_ns
    (out / "fold-2" / "scores.json").unlink()  # as if it had been stopped there
    assert cross_validate(task, None, data, 3, out=out) == scores
    assert len(task.splits) == 4 and (out / "fold-1" / "scores.json").stat().st_mtime_ns == before
    with pytest.raises(RunError, match="folds of other data or settings"):
        cross_validate(task, None, data, 4, out=out)


def test_the_lines_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text.partition("## Ways of learning")[2], flags=re.MULTILINE)[0]
    folds, typos = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    rows = [line.partition(" ") for line in sentences(60, 0)]
    Path("questions.csv").write_text("\n".join(["label,text", *(f"{label},{words}" for label, _, words in rows)]))
    monkeypatch.setattr("textmill.tasks.Classify", lambda: Classify(small("lstm", epochs=1)))
    for name, of_tests in (('"sample:minilm"', "None"), ("folds=10", "folds=2")):
        assert name in folds
        folds = folds.replace(name, of_tests)
    exec(folds, {})
    assert (tmp_path / "runs" / "questions-folds" / "scores.json").is_file()
    exec(typos, {})


def test_another_task_is_judged_so_too(tmp_path: Path) -> None:
    data = tmp_path / "data.conll"
    rows = [f"{name} B-name\nsaw O\n{number} O\n" for number in range(30) for name in ("Ada", "Bob")]
    rows.append("in O\nRome B-place\n")
    data.write_text("\n".join(rows), encoding="utf-8")
    recipe = TaskRecipe(**{**small("lstm", epochs=1, batch_size=8).model_dump(), "learn": {"epochs": 1}})
    scores = cross_validate(Tag(recipe), None, data, 3, out=tmp_path / "out")
    assert scores[0].name == "F1" and scores[0].count == 61  # a sentence each
    assert "F1 of place" not in {score.name for score in scores}
    data.write_text("\n".join([*rows[:24], rows[-1]]), encoding="utf-8")  # of which one alone is held out
    with pytest.raises(TaskError, match=r"too few texts for 3 folds: .* 0 to validate on"):
        cross_validate(Tag(recipe), None, data, 3, out=tmp_path / "few")
