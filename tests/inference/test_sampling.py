"""Picking a token: penalties and filters do what they say, alone and together, and as transformers does; draws follow the
distribution and (seed, position) alone."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    LogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

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
    with pytest.raises(GenerationError) as error:
        Sampling(
            logit_bias=((3, 1.0), (3, 2.0), (-1, 0.0), (4, 101.0), (5, math.nan)),
            presence_penalty=2.1,
            frequency_penalty=math.nan,
            typical_p=0,
            temperature=math.inf,
            repetition_penalty=math.inf,
        )
    assert len(error.value.problems) == 8


def test_a_bias_beyond_the_vocabulary_is_told() -> None:
    sampling = Sampling(logit_bias=((5, 1.0), (6, 1.0)))
    assert sampling.bias_problems(7) == []
    with pytest.raises(GenerationError, match=r"below 6, .*found 6"):
        probabilities(LOGITS, (), sampling)


SIZE = 12
TOKENS = st.lists(st.integers(0, SIZE - 1), max_size=20)
SAMPLINGS = st.builds(
    Sampling,
    logit_bias=st.dictionaries(st.integers(0, SIZE - 1), st.floats(-100, 100), max_size=4).map(
        lambda bias: tuple(bias.items())
    ),
    repetition_penalty=st.floats(0.01, 100) | st.sampled_from([1e-300, 1e300]),
    presence_penalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    temperature=st.floats(0, 1e6) | st.sampled_from([5e-324, 1e-200, 1e300]),
    top_k=st.none() | st.integers(1, SIZE + 2),
    top_p=st.floats(0, 1, exclude_min=True),
    min_p=st.floats(0, 1, exclude_max=True),
    typical_p=st.floats(0, 1, exclude_min=True),
    seed=st.integers(0, 2**64 - 1),
)
# Among the logits some are forbidden, never all.
VALUES = st.lists(st.floats(-50, 50, width=32) | st.just(-math.inf), min_size=SIZE, max_size=SIZE).filter(
    lambda values: max(values) > -math.inf
)


@given(VALUES, SAMPLINGS, TOKENS, TOKENS, st.integers(0, 1000))
def test_any_options_together_give_a_distribution_without_what_is_forbidden(
    values: list[float], sampling: Sampling, prompt: list[int], written: list[int], position: int
) -> None:
    logits = torch.tensor(values)
    before = logits.clone()
    distribution = probabilities(logits, prompt + written, sampling, written)
    token = pick(logits, prompt + written, sampling, position, written)
    assert torch.equal(logits, before)  # the caller's logits stay
    assert not distribution.isnan().any() and (distribution >= 0).all()
    assert math.isclose(float(distribution.sum()), 1.0, abs_tol=1e-9)
    assert not distribution[logits == -math.inf].any()
    assert distribution[token] > 0


@given(VALUES, SAMPLINGS, TOKENS, TOKENS)
def test_greedy_takes_the_likeliest_after_the_penalties(
    values: list[float], sampling: Sampling, prompt: list[int], written: list[int]
) -> None:
    greedy = dataclasses.replace(sampling, temperature=0)
    bias = dict(sampling.logit_bias)
    expected = []
    for token, logit in enumerate(values):
        logit += bias.get(token, 0.0)
        if token in prompt + written:
            logit = logit / sampling.repetition_penalty if logit > 0 else logit * sampling.repetition_penalty
        if token in written:
            logit -= sampling.presence_penalty + sampling.frequency_penalty * written.count(token)
        expected.append(logit)
    assert expected[pick(torch.tensor(values), prompt + written, greedy, 0, written)] == max(expected)


@given(VALUES, st.floats(-2, 2), st.sets(st.integers(0, SIZE - 1)))
def test_presence_is_frequency_for_tokens_written_once(values: list[float], penalty: float, written: set[int]) -> None:
    logits, once = torch.tensor(values), sorted(written)
    presence = dataclasses.replace(PLAIN, presence_penalty=penalty)
    frequency = dataclasses.replace(PLAIN, frequency_penalty=penalty)
    assert torch.equal(probabilities(logits, once, presence, once), probabilities(logits, once, frequency, once))


def test_presence_and_frequency_leave_the_prompt_alone() -> None:
    sampling = dataclasses.replace(PLAIN, presence_penalty=2.0, frequency_penalty=2.0)
    assert torch.equal(probabilities(LOGITS, (0, 1), sampling), probabilities(LOGITS, (), PLAIN))


def test_typical_leaves_out_the_too_expected() -> None:
    # 0.4 and eight of 0.075: the expected surprise (1.92 nats) is nearer to that of the small ones (2.59) than 0.92 is.
    logits = torch.tensor([0.4] + [0.075] * 8).double().log()
    assert kept(dataclasses.replace(PLAIN, typical_p=0.5), logits) == {1, 2, 3, 4, 5, 6, 7}


def test_greedy_without_penalties_looks_at_the_logits_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[None] = []
    monkeypatch.setattr(torch.Tensor, "double", lambda self: copies.append(None))
    assert pick(LOGITS, (0, 1), Sampling(temperature=0), position=3, written=(1,)) == 0
    assert not copies


@pytest.mark.parametrize(
    ("sampling", "processors"),
    [
        (Sampling(repetition_penalty=1.7, temperature=1.0, top_p=1.0), [RepetitionPenaltyLogitsProcessor(1.7)]),
        (Sampling(temperature=1.0, top_p=1.0, top_k=20), [TopKLogitsWarper(20)]),
        (Sampling(temperature=1.0, top_p=0.7), [TopPLogitsWarper(0.7)]),
        (Sampling(temperature=1.0, top_p=1.0, min_p=0.1), [MinPLogitsWarper(0.1)]),
        (Sampling(temperature=1.0, top_p=1.0, typical_p=0.6), [TypicalLogitsWarper(0.6)]),
        (
            Sampling(repetition_penalty=1.2, temperature=0.7, top_k=90, top_p=0.95, min_p=0.01, typical_p=0.8),
            [
                RepetitionPenaltyLogitsProcessor(1.2),
                TemperatureLogitsWarper(0.7),
                TopKLogitsWarper(90),
                TopPLogitsWarper(0.95),
                MinPLogitsWarper(0.01),
                TypicalLogitsWarper(0.8),
            ],
        ),
    ],
    ids=["repetition", "top_k", "top_p", "min_p", "typical", "all"],
)
def test_the_same_as_transformers(sampling: Sampling, processors: list[LogitsProcessor]) -> None:
    for seed in range(20):
        numbers = torch.Generator().manual_seed(seed)
        logits = 3 * torch.randn(300, generator=numbers, dtype=torch.float64)
        previous = torch.randint(300, (1, 40), generator=numbers)
        theirs = logits[None]
        for processor in processors:
            theirs = processor(previous, theirs)
        torch.testing.assert_close(probabilities(logits, previous[0].tolist(), sampling), theirs[0].softmax(0))
