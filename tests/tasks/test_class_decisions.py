"""Temperatures, thresholds, baselines and F1 against what is known of them: a model that doubts too little, scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from textmill.evaluation.label_metrics import calibration_error, multi_label_f1
from textmill.models.task import TaskConfig
from textmill.tasks.baselines import PENALTY, Bag, bag_for, linear_predictions, majority
from textmill.tasks.settings import BaselineSettings
from textmill.tasks.temperature import best_temperature
from textmill.tasks.thresholds import fit_threshold, label_thresholds, quantile_threshold


def test_the_temperature_that_outputs_were_divided_by_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(20_000, 4, generator=generator)
    targets = torch.multinomial(outputs.softmax(-1), 1, generator=generator)[:, 0]
    assert best_temperature(3 * outputs, targets) == pytest.approx(3, rel=0.05)
    likely = torch.bernoulli(outputs.sigmoid(), generator=generator)
    assert best_temperature(outputs / 2, likely) == pytest.approx(0.5, rel=0.05)
    right = np.array(outputs.argmax(-1) == targets)
    sure = [(scale * outputs).softmax(-1).max(-1).values.numpy() for scale in (1, 3)]
    true, doubtless = (calibration_error(each, right, {}) for each in sure)
    assert true.value < 0.02 < 0.2 < doubtless.value and doubtless.low < doubtless.value < doubtless.high
    few = torch.tensor([[5.0, 0.0]] * 3)
    assert 1 / 16 < best_temperature(few, torch.zeros(3, dtype=torch.long)) < 16  # never wrong on three isn't never wrong


def test_thresholds_part_what_can_be_parted() -> None:
    likely, truth = (
        np.array([[0.2, 0.9], [0.3, 0.8], [0.1, 0.7], [0.05, 0.6]] * 3),
        np.array([[1, 1], [1, 1], [0, 0], [0, 0]] * 3, bool),
    )
    low, high = label_thresholds(likely, truth)
    assert 0.1 < low < 0.2 and 0.7 < high < 0.8
    assert label_thresholds(likely[:2], truth[:2]) == (0.5, 0.5)  # too few to choose by
    assert 0.4 < fit_threshold([0.9, 0.8, 0.7], [True, True, True], [0.4, 0.3]) < 0.7
    assert quantile_threshold([0.1 * n for n in range(1, 11)], 0.2) == pytest.approx(0.2)
    task = TaskConfig("sequence", ("a", "b"), thresholds=(0.7, 0.7))
    assert task.said([0.6, 0.4]) == [] and task.said([0.2, 0.8]) == [1]
    assert TaskConfig("multi_label", ("a", "b"), thresholds=(0.1, 0.9)).said([0.2, 0.8]) == [0]


def test_f1_of_several_labels_is_scikit_learns() -> None:
    drawn = np.random.default_rng(0)
    truth, found = drawn.random((50, 4)) < 0.3, drawn.random((50, 4)) < 0.4
    micro, macro = multi_label_f1(truth, found, {})
    assert micro.value == pytest.approx(f1_score(truth, found, average="micro"))
    assert macro.value == pytest.approx(f1_score(truth, found, average="macro"))
    assert micro.low < micro.value < micro.high


@pytest.mark.parametrize("name", PENALTY)
def test_linear_models_learn_what_is_in_the_words(name: str) -> None:
    texts = ["good film", "a good one", "bad film", "a bad one", "no film", "no, not one"] * 4
    labels = [("good",), ("good",), ("bad",), ("bad",), (), ()] * 4
    assert linear_predictions(name, Bag(), texts, labels, ["so good", "so bad", "no"]) == [("good",), ("bad",), ()]
    two = [("good",) if "good" in text else ("bad",) for text in texts]
    assert linear_predictions(name, Bag(), texts, two, ["so good", "so bad"]) == [("good",), ("bad",)]
    both = ["red big", "blue big", "red small", "blue small"] * 4
    own = [tuple(word for word in text.split() if word in ("red", "big")) for text in both]
    assert linear_predictions(name, Bag(), both, own, ["red big", "blue small"], several=True) == [("big", "red"), ()]
    assert majority(labels) == ()


def test_the_classical_preprocessing() -> None:
    assert Bag(lower=False, punctuation=False).words("The Cat, isn't") == ["The", "Cat", "isn't"]
    english = bag_for(["The cat is here."], BaselineSettings(stop_words="english"))
    assert english.words("The cat is here.") == ["cat", "."]
    assert bag_for(["一种很好的东西"]).units == "characters" and bag_for(["x"], BaselineSettings(stop_words=["x"])).words(
        "x y"
    ) == ["y"]
