"""How fast steps are beside what was measured before the first, and a longer plan where they turned out to be much faster.

A training that was measured beside a busy neighbour would use a part of its time only. Before the learning rate falls nothing
depends on the number of steps, so there the plan can be made anew, as if a shorter run were prolonged; and is written down.
"""

import dataclasses
from collections import deque

from .choices import Choices, fixed_seconds, seconds_with_checkpoints, steps_wanted
from .schedules import mean_tokens
from .settings import TrainSettings, seconds_of

STEPS = 20  # of late that are looked at
WORTH_A_CHANGE = 1.1  # times as many steps


class Pace:
    """Watches how long steps take. `context` is the model's."""

    def __init__(self, settings: TrainSettings, context: int, choices: Choices):
        self._settings, self._context = settings, context
        self._usual = choices.seconds_per_step / mean_tokens(settings, context)
        self._steps: deque[tuple[int, float]] = deque(maxlen=STEPS)

    def measure(self, tokens: int, seconds: float) -> None:
        """Take in what a step took."""
        self._steps.append((tokens, seconds))

    def longer(self, choices: Choices, steps: int, done: int, elapsed: float) -> Choices | None:
        """The choices with the steps that really fit into the time budget, where those are many more than `steps`, of which
        `done` are done after `elapsed` seconds; None where they aren't."""
        settings = self._settings
        if settings.time is None or len(self._steps) < STEPS or not done < steps < steps_wanted(settings, self._context):
            return None
        tokens, seconds = map(sum, zip(*self._steps))
        faster = self._usual * tokens / seconds
        quicker = dataclasses.replace(choices, seconds_per_step=choices.seconds_per_step / faster)
        per_step = seconds_with_checkpoints(settings, quicker)
        planned = (1 - done / steps) * fixed_seconds(settings, choices) + (steps - done) * per_step
        more = steps + int((seconds_of(settings.time) - elapsed - planned) / per_step)
        if more < WORTH_A_CHANGE * steps:
            return None
        return dataclasses.replace(quicker, timed_steps={**choices.timed_steps, settings.time: more})
