"""Picking a token: filters keep what they say, draws follow the distribution and (seed, position) alone."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import GenerationError
from textmill.inference.sampling import Sampling, pick, probabilities, uniform

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
PLAIN = Sampling(temperature=1.0, top_p=1.0)


def kept(sampling: Sampling, logits: torch.Tensor = LOGITS, previous: tuple[int, ...] = ()) -> set[int]:
    return set(probabilities(logits, previous, sampling).nonzero().flatten().tolist())


def test_no_filter_is_softmax() -> None:
    torch.testing.assert_close(probabilities(LOGITS, (), PLAIN), LOGITS.double().softmax(0))


def test_temperature_divides_the_logits() -> None:
    sampling = Sampling(temperature=0.5, top_p=1.0)
    torch.testing.assert_close(probabilities(LOGITS, (), sampling), (LOGITS.double() / 0.5).softmax(0))


def test_greedy_takes_the_likeliest() -> None:
    assert pick(LOGITS, (), Sampling(temperature=0), position=3) == 0


@pytest.mark.parametrize("k", [1, 3, 6, 100])
def test_top_k(k: int) -> None:
    assert kept(Sampling(temperature=1.0, top_p=1.0, top_k=k)) == set(range(min(k, 6)))


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_top_p_keeps_the_fewest_that_reach_it(values: list[float], top_p: float) -> None:
    logits = torch.tensor(values)
    distribution = logits.double().softmax(0)
    nucleus = kept(Sampling(temperature=1.0, top_p=top_p), logits)
    inside = sorted((float(distribution[i]) for i in nucleus), reverse=True)
    assert math.isclose(sum(inside), top_p, abs_tol=1e-9) or sum(inside) >= top_p or len(nucleus) == len(values)
    assert sum(inside[:-1]) < top_p  # the last one was needed
    assert all(float(distribution[i]) <= inside[-1] + 1e-12 for i in set(range(len(values))) - nucleus)


def test_min_p() -> None:
    distribution = LOGITS.softmax(0)
    expected = {i for i in range(6) if distribution[i] >= 0.2 * distribution[0]}
    assert kept(Sampling(temperature=1.0, top_p=1.0, min_p=0.2)) == expected


def test_repetition_penalty_makes_seen_tokens_less_likely_whatever_their_sign() -> None:
    sampling = Sampling(repetition_penalty=1.5, temperature=1.0, top_p=1.0)
    before, after = probabilities(LOGITS, (), PLAIN), probabilities(LOGITS, (0, 4, 4), sampling)
    assert after[0] < before[0] and after[4] < before[4] and after[1] > before[1]


def test_draws_follow_the_distribution() -> None:
    draws = 4000
    counts = torch.bincount(
        torch.tensor([pick(LOGITS, (), PLAIN, position) for position in range(draws)]), minlength=len(LOGITS)
    )
    expected = LOGITS.double().softmax(0)
    deviation = (counts / draws - expected).abs() / (expected * (1 - expected) / draws).sqrt()
    assert deviation.max() < 4  # standard deviations; the draws are the same in every run


@given(st.integers(0, 2**64 - 1), st.integers(0, 10_000))
def test_random_number_is_a_function_of_seed_and_position(seed: int, position: int) -> None:
    assert uniform(seed, position) == uniform(seed, position)
    assert 0 <= uniform(seed, position) < 1
    assert uniform(seed, position) != uniform(seed, position + 1)


def test_all_wrong_values_are_told_together() -> None:
    with pytest.raises(GenerationError) as error:
        Sampling(temperature=-1, top_k=0, top_p=0, min_p=1, repetition_penalty=0, seed=-1)
    assert len(error.value.problems) == 6
