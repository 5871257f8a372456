"""Systems of equal truth are called equal about 95 times of 100, whatever the noise is of; unequal ones are told apart."""

import math

import numpy as np
import pytest

from textmill.comparison.intervals import difference_interval, mean_interval
from textmill.evaluation.bootstrap import bootstrap_ratio, paired_bootstrap

SAMPLES, TRIALS = 400, 300


def trained(
    generator: np.random.Generator,
    hardness: np.ndarray,
    sizes: np.ndarray,
    seeds: int,
    truth: float,
    by_seed: float,
    by_both: float,
) -> np.ndarray:
    """Bits of one system's documents: (seeds, documents)."""
    tastes = generator.normal(0, by_both, len(sizes))  # documents that suit this system
    luck = generator.normal(0, by_seed, (seeds, 1))
    return sizes * (truth + hardness + tastes + luck + generator.normal(0, 0.02, (seeds, len(sizes))))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("by_seed", "by_both"), [(0.03, 0.001), (0.001, 0.1), (0.02, 0.1)])
def test_equal_systems_differ_by_noise_and_unequal_ones_do_not(seeds: int, by_seed: float, by_both: float) -> None:
    generator = np.random.default_rng(5)
    equal = told_apart = 0
    for trial in range(TRIALS):
        sizes, hardness = generator.lognormal(8, 0.5, 40) + 1, generator.normal(0, 0.3, 40)
        first, second = (trained(generator, hardness, sizes, seeds, 2.0, by_seed, by_both) for _ in range(2))
        low, high = difference_interval(first, second, sizes, SAMPLES, seed=trial)
        equal += low <= 0 <= high
        low, high = difference_interval(first + sizes, second, sizes, SAMPLES, seed=trial)
        told_apart += low > 0 and low <= 1 <= high
    assert 0.91 <= equal / TRIALS <= 0.99
    assert told_apart / TRIALS >= 0.9


def test_a_mean_over_seeds_has_its_truth_in_its_interval() -> None:
    generator = np.random.default_rng(6)
    covered = 0
    for trial in range(TRIALS):
        sizes = np.ones(80)
        bits = trained(generator, generator.normal(0, 0.1, 80), sizes, 3, 2.0, 0.02, 0.0)
        low, high = mean_interval(bits, sizes, SAMPLES, seed=trial)
        assert low < bits.sum() / sizes.sum() / 3 < high
        covered += low <= 2.0 <= high
    assert 0.91 <= covered / TRIALS <= 0.99


def test_one_seed_gives_the_documents_interval_that_every_evaluation_has() -> None:
    generator = np.random.default_rng(7)
    sizes = generator.lognormal(8, 1, 40)
    nats, others = (sizes * generator.normal(1.5, 0.2, 40) for _ in range(2))
    assert mean_interval(nats[None], sizes, 800) == bootstrap_ratio(nats, sizes, 800)
    bits = (nats / math.log(2), others / math.log(2))
    assert difference_interval(bits[0][None], bits[1][None], sizes, 800) == pytest.approx(
        paired_bootstrap(nats, others, sizes, 800)
    )


def test_seeds_that_differ_make_an_interval_wider_and_one_document_has_none() -> None:
    sizes = np.full(30, 100.0)
    alike = np.random.default_rng(8).normal(2.0, 0.1, 30)[None].repeat(3, axis=0) * sizes
    apart = alike + sizes * np.array([[-0.05], [0.0], [0.05]])
    narrow, wide = mean_interval(alike, sizes, 2000), mean_interval(apart, sizes, 2000)
    assert wide[0] < narrow[0] - 0.03 and wide[1] > narrow[1] + 0.03
    assert all(math.isnan(bound) for bound in mean_interval(apart[:, :1], sizes[:1], 100))
