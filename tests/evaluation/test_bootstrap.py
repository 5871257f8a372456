"""Intervals hold the truth as often as they say, and comparisons of the same documents are sharper."""

import math

import numpy as np
import pytest

from textmill.evaluation.bootstrap import DRAWS_AT_ONCE, bootstrap_ratio, paired_bootstrap


def corpus(generator: np.random.Generator, documents: int, truth: float) -> tuple[np.ndarray, np.ndarray]:
    """Documents of very different sizes, whose cost per byte varies around the truth."""
    sizes = generator.lognormal(8, 1, documents).round() + 1
    return sizes * generator.normal(truth, 0.3, documents), sizes


def test_interval_covers_the_truth_about_95_times_of_100() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for trial in range(400):
        low, high = bootstrap_ratio(*corpus(generator, 100, truth=2.0), samples=400, seed=trial)
        covered += low <= 2.0 <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_interval_holds_the_figure_itself_and_is_repeatable() -> None:
    costs, sizes = corpus(np.random.default_rng(2), 30, truth=2.0)
    low, high = bootstrap_ratio(costs, sizes)
    assert low < costs.sum() / sizes.sum() < high
    assert (low, high) == bootstrap_ratio(costs, sizes)
    assert (low, high) != bootstrap_ratio(costs, sizes, seed=1)


def test_paired_difference_is_antisymmetric_and_in_bits() -> None:
    generator = np.random.default_rng(3)
    costs, sizes = corpus(generator, 25, truth=2.0)
    others = costs + sizes * generator.normal(0.1, 0.02, 25)
    low, high = paired_bootstrap(costs, others, sizes)
    assert paired_bootstrap(others, costs, sizes) == pytest.approx((-high, -low))
    assert low < -0.1 / math.log(2) < high < 0


def test_what_is_hard_for_both_falls_out() -> None:
    costs, sizes = corpus(np.random.default_rng(4), 25, truth=2.0)
    low, high = paired_bootstrap(costs, costs - 0.25 * sizes * math.log(2), sizes)
    assert (low, high) == pytest.approx((0.25, 0.25))


def test_one_document_has_no_interval() -> None:
    assert all(math.isnan(bound) for bound in bootstrap_ratio([3.0], [2.0]))


def test_more_documents_than_are_drawn_at_once() -> None:
    documents = DRAWS_AT_ONCE + 1
    low, high = bootstrap_ratio(np.arange(documents) % 2, np.ones(documents), samples=20)
    assert 0.49 < low < 0.5 < high < 0.51


def test_unfit_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="one numerator and denominator"):
        bootstrap_ratio([], [])
    with pytest.raises(ValueError, match="one numerator and denominator"):
        bootstrap_ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="positive"):
        bootstrap_ratio([1.0, 2.0], [1.0, 0.0])
