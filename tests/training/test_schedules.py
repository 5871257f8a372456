"""The learning rate's course: its bounds, its shape, and that a longer run begins as a shorter one does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.tokens.plans import BlockPlan
from textmill.training.schedules import decay_start, mean_tokens, phases, rate, same_until
from textmill.training.settings import TrainSettings

settings_of = st.builds(
    TrainSettings,
    steps=st.just(1),
    schedule=st.sampled_from(["warmup-stable-decay", "cosine"]),
    warmup_steps=st.integers(0, 50),
    decay_fraction=st.floats(0.01, 1.0),
)


@given(settings_of, st.integers(1, 3000))
def test_between_zero_and_one_and_low_at_the_end(settings: TrainSettings, steps: int) -> None:
    rates = [rate(settings, steps, step) for step in range(steps)]
    assert all(0 < value <= 1 for value in rates)
    after_peak = rates[max(settings.warmup_steps, decay_start(settings, steps)) :]
    assert after_peak == sorted(after_peak, reverse=True)


@given(settings_of, st.integers(1, 2000), st.integers(0, 2000))
def test_a_longer_run_begins_as_the_shorter_one(settings: TrainSettings, steps: int, more: int) -> None:
    for step in range(decay_start(settings, steps)):
        if step < decay_start(settings, steps + more):
            assert rate(settings, steps, step) == rate(settings, steps + more, step)


STAGED = TrainSettings(
    steps=1, batch_size=16, batch_schedule=[[0.25, 4], [0.5, 8]], context_schedule=[[0.4, 32]], decay_fraction=0.1
)


def test_two_schedules_give_one_course() -> None:
    course = [(phase.until, phase.batch_size, phase.context) for phase in phases(STAGED, context=64, steps=100)]
    assert course == [(25, 4, 32), (40, 8, 32), (50, 8, 64)]
    # The text doesn't wait for the context: a step of shorter rows has as many tokens.
    assert mean_tokens(STAGED, context=64) == pytest.approx(64 * (0.25 * 4 + 0.25 * 8 + 0.5 * 16))


@given(st.integers(1, 500), st.integers(0, 500))
def test_a_longer_run_begins_with_the_same_sizes(steps: int, more: int) -> None:
    short, long = (BlockPlan(64, 16, phases=phases(STAGED, 64, length)) for length in (steps, steps + more))
    assert same_until(STAGED, steps) <= same_until(STAGED, steps + more)
    for plan in (short, long):
        sizes = {(plan.phase(step).batch_size, plan.phase(step).context) for step in range(same_until(STAGED, steps))}
        assert sizes <= {(4, 32)}
