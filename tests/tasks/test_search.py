"""A search tries settings by halving, chooses by validation alone, says what each cost, and goes on where it was stopped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from textmill.errors import RecipeError, RunError, TaskError
from textmill.tasks import Classify
from textmill.tasks.search import Axis, read_axis, search, trials_of

from .test_classify import sentences, small


def test_axes_are_ranges_or_choices() -> None:
    assert read_axis("learn.dropout=0,0.1, 0.3") == Axis("learn.dropout", ("0", "0.1", "0.3"))
    assert read_axis("learn.learning_rate=1e-5..1e-3") == Axis("learn.learning_rate", bounds=(1e-5, 1e-3))
    assert read_axis("learn.batch_size=8..64").whole
    for wrong in (
        "learn.dropout",
        "dropout=0,1",
        "learn.dropout=",
        "learn.dropout=a..b",
        "learn.dropout=0.1",
        "learn.dropout=2..1",
    ):
        with pytest.raises(TaskError, match="--search"):
            read_axis(wrong)


def test_trials_are_different_and_functions_of_the_seed() -> None:
    axes = [read_axis("learn.learning_rate=1e-5..1e-2"), read_axis("learn.batch_size=8..64")]
    found = trials_of(axes, 60, seed=0)
    assert len(found) == 60 and found == trials_of(axes, 60, seed=0) != trials_of(axes, 60, seed=1)
    rates = [float(each["learn.learning_rate"]) for each in found]
    assert all(1e-5 <= rate <= 1e-2 for rate in rates) and 15 < sum(rate < 3.16e-4 for rate in rates) < 45  # by the logarithm
    assert all(8 <= int(each["learn.batch_size"]) <= 64 for each in found)
    assert len(trials_of([read_axis("learn.dropout=0,0.1")], 9, seed=0)) == 2
    with pytest.raises(TaskError, match="given twice"):
        trials_of([axes[0], axes[0]], 9, seed=0)


class Counting(Classify):
    """Notes what learns: the learning rate, the epochs and whether it is judged by the test."""

    learnt: ClassVar[list[tuple[float, float, bool]]] = []

    def learn(self, base, split, out, restart=False, judging=True):
        self.learnt.append((self.recipe.learn.learning_rate, round(self.recipe.learn.epochs, 3), judging))
        model = super().learn(base, split, out, restart, judging)
        assert (Path(out) / "scores.json").exists() == judging
        return model


def test_the_best_by_validation_is_chosen_and_a_stopped_search_goes_on(tmp_path: Path, capsys) -> None:
    data, test, out = tmp_path / "data.txt", tmp_path / "test.txt", tmp_path / "out"
    data.write_text("\n".join(sentences(120, 0)), encoding="utf-8")
    test.write_text("\n".join(sentences(20, 1)), encoding="utf-8")
    task = Counting(small("lstm", epochs=6, learning_rate=0.02))
    split, axes = task.read(data, test), [read_axis("learn.learning_rate=1e-9,1e-8,0.02")]
    Counting.learnt.clear()
    found = search(task, None, split, axes, 3, out)
    assert found.recipe.learn.learning_rate == 0.02 and found.recipe.learn.epochs == 6
    assert sorted(Counting.learnt) == [(1e-9, 2.0, False), (1e-8, 2.0, False), (0.02, 2.0, False)]
    told = json.loads((out / "search.json").read_text())["trials"]
    assert len(told) == 3 and all(each["seconds"] > 0 and each["joules"] > 0 for each in told.values())
    assert min(told.values(), key=lambda each: each["value"])["settings"] == {"learn.learning_rate": "0.02"}
    shown = capsys.readouterr().out
    assert "in all " in shown and "the best, which learns whole: learning_rate 0.02" in shown

    saved = json.loads((out / "search.json").read_text())
    last = list(saved["trials"])[-1]
    value = saved["trials"].pop(last)["value"]  # as if it had been stopped there
    (out / "search.json").write_text(json.dumps(saved))
    assert search(task, None, split, axes, 3, out).recipe == found.recipe
    assert len(Counting.learnt) == 4 and json.loads((out / "search.json").read_text())["trials"][last]["value"] == value
    with pytest.raises(RunError, match="a search over other settings"):
        search(task, None, split, [read_axis("learn.dropout=0,0.1")], 3, out)


def test_options_that_do_not_fit_are_told_together(tmp_path: Path, textmill: Callable[..., Any]) -> None:
    data = tmp_path / "data.txt"
    data.write_text("\n".join(sentences(20, 0)), encoding="utf-8")
    given = ["--scheme", "BIO", "--trials", "4", "--folds", "3", "--test", data, "--base", "nothing", "--set", "model.width=8"]
    told = textmill("tune", "classify", data, *given)
    assert told.code == 2
    for message in (
        "--scheme is for tag, not for classify", "--folds judges by all of DATA", "--trials is how many settings --search",
        "--set model.width=8: the shape and the tokens are those of --base nothing",
    ):  # fmt: skip
        assert message in told.err
    told = textmill("tune", "tag", data, "--folds", "3", "--search", "learn.dropout=0,0.1", "--separator", ";")
    assert told.code == 2 and "--separator is for classify, not for tag" in told.err and "give one of them" in told.err


def test_what_cannot_be_searched_over_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("\n".join(sentences(100, 0)), encoding="utf-8")
    task = Classify(small("lstm"))
    split = task.read(data)
    with pytest.raises(RecipeError, match=r"unknown key learn.dropuot.*did you mean 'dropout'"):
        search(task, None, split, [read_axis("learn.dropuot=0,0.1")], 3, tmp_path / "out")
    with pytest.raises(TaskError, match="epochs are what is halved"):
        search(task, None, split, [read_axis("learn.epochs=1,2")], 3, tmp_path / "out")
