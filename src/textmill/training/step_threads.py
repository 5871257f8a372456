"""How many threads each step of a training works with, and how they wait: as many as at first, unless train.threads = "adapt".

The last digits of a step may depend on its threads. So each change is told, and recorded in choices.json with the step from
which it holds; a resumed run makes the recorded ones again at the same steps, and chooses for itself behind the last of them.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from ..machine.cores import usable_cores
from ..machine.threads import ThreadChoice
from .choices import Choices
from .settings import TrainSettings


class StepThreads:
    """The threads of each step in turn. `tokens` is what a step has on the average; changes are written into `folder`."""

    def __init__(self, settings: TrainSettings, choices: Choices, tokens: float, folder: Path, say: Callable[[str], None]):
        self.choices, self._folder, self._say = choices, folder, say
        self._adapts, self._on_cpu = settings.threads == "adapt", choices.kernels.device == "cpu"
        self._usual = choices.seconds_per_step / tokens
        self._choice: ThreadChoice | None = None  # made where the recorded changes end
        self.count = choices.kernels.threads

    def begin(self, step: int) -> None:
        """Set torch's threads for a step, before it."""
        changes = self.choices.thread_changes
        count = next((count for since, count in reversed(changes) if since <= step), self.choices.kernels.threads)
        if self._on_cpu and (not changes or step > changes[-1][0]):
            most = usable_cores() if self._adapts else None
            self._choice = self._choice or ThreadChoice(count, most, usual=self._usual)
            if self._choice.count != count:
                self._change(step, count, self._choice)
                count = self._choice.count
        self.count = count
        torch.set_num_threads(count)

    def measure(self, tokens: int, seconds: float) -> None:
        """Take in what the step took."""
        if self._choice is not None:
            self._choice.measure(tokens, seconds)

    def _change(self, step: int, before: int, choice: ThreadChoice) -> None:
        changes = [*self.choices.thread_changes, (step, choice.count)]
        self.choices = dataclasses.replace(self.choices, thread_changes=changes)
        self.choices.save(self._folder)
        why = "tried, since steps may be faster so" if choice.trying else "since steps are faster so"
        self._say(f"  from step {step + 1:,} on {choice.count} threads and not {before}, {why}: digits may differ from here on")
