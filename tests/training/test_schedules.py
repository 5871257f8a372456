"""The learning rate's course: its bounds, its shape, and that a longer run begins as a shorter one does."""

from hypothesis import given
from hypothesis import strategies as st

from textmill.training.schedules import decay_start, rate
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
