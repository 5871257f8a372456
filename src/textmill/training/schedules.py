"""The learning rate as a function of the step: a factor from 0 to 1 that the peak rates are multiplied by."""

import math

from .settings import TrainSettings


def decay_start(settings: TrainSettings, steps: int) -> int:
    """The first step at which the schedule depends on the run's length: up to there, longer runs are the same."""
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
