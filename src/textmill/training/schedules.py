"""What changes in the course of a run, as functions of the step: the learning rate, the batch's size, the rows' length.

The learning rate is a factor from 0 to 1 that the peak rates are multiplied by.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..tokens.plans import Phase
from .settings import TrainSettings


@dataclass(frozen=True)
class Stretch:
    """A part of the run with one batch size and one context, up to the share `until` of its steps; `share` of them long."""

    until: float
    share: float
    batch_size: int
    context: int


def stretches(settings: TrainSettings, context: int) -> list[Stretch]:
    """The run's parts in their order; one where there is no schedule. `context` is the model's."""
    batches = [*settings.batch_schedule, (1.0, settings.batch_size)]
    contexts = [*settings.context_schedule, (1.0, context)]
    ends = sorted({share for share, _ in [*batches, *contexts]})
    return [Stretch(end, end - begin, _value(batches, end), _value(contexts, end)) for begin, end in zip([0.0, *ends], ends)]


def _value(schedule: Sequence[tuple[float, int]], until: float) -> int:
    return next(value for share, value in schedule if until <= share)


def phases(settings: TrainSettings, context: int, steps: int) -> tuple[Phase, ...]:
    """The run's parts as a reading plan takes them: all but the last, which has no end."""
    parts = stretches(settings, context)[:-1]
    return tuple(Phase(math.ceil(part.until * steps), part.batch_size, part.context) for part in parts)


def mean_tokens(settings: TrainSettings, context: int) -> float:
    """Targets in one step, on the average over the run."""
    return sum(part.share * part.batch_size * context for part in stretches(settings, context))


def same_until(settings: TrainSettings, steps: int) -> int:
    """The first step at which anything depends on the run's length: up to there, longer runs are the same."""
    shares = [share for share, _ in [*settings.batch_schedule, *settings.context_schedule]]
    return min([decay_start(settings, steps), *(math.ceil(share * steps) for share in shares)])


def decay_start(settings: TrainSettings, steps: int) -> int:
    """The first step at which the learning rate depends on the run's length."""
    if settings.schedule == "cosine":
        return min(settings.warmup_steps, steps)
    return steps - math.ceil(settings.decay_fraction * steps)


def rate(settings: TrainSettings, steps: int, step: int) -> float:
    """The factor of step `step` (from 0) of `steps`.

    warmup-stable-decay: Hu et al. 2024 (MiniCPM), with the linear decay to zero of Hägele et al. 2024; cosine:
    Loshchilov & Hutter 2017.
    """
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    start = decay_start(settings, steps)
    if step < start:
        return warmup
    remaining = (steps - step) / (steps - start)
    if settings.schedule == "cosine":
        return warmup * 0.5 * (1.0 + math.cos(math.pi * (1.0 - remaining)))
    return warmup * remaining
