"""What was measured and chosen before the first step, saved with the run so that a resumed run computes the same bits."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch

from ..errors import RunError, TrainingError
from ..files import read_json, write_json
from ..machine.device import machine_name
from ..progress import format_seconds
from .schedules import mean_tokens
from .settings import TrainSettings, seconds_of
from .step import Kernels

FILE = "choices.json"
VALIDATION_SHARE = 0.05  # of a time budget, at most
CHECKPOINT_SECONDS = 30.0  # at most about this much work is lost with the power
SAMPLE_MOMENTS = (10.0, 30.0, 60.0, 120.0, 300.0)  # seconds of training after which a sample is shown, beside the last one


@dataclasses.dataclass(frozen=True)
class Choices:
    """How a training runs on this machine. Times in seconds, `peak_flops` per second.

    `lineage` names the training they were made for; `timed_steps` is the number of steps that each time budget was turned
    into. `thread_changes` are pairs: a number of steps, and the count of threads that was worked with from
    there on. `seconds_per_step` is the mean over the run, `setup_seconds` what measuring took.
    """

    lineage: dict[str, Any]
    machine: str
    torch: str
    kernels: Kernels
    seconds_per_step: float
    validation_seconds: float
    sample_seconds: float
    checkpoint_seconds: float
    setup_seconds: float
    peak_flops: float
    reasons: list[str]
    timed_steps: dict[str, int] = dataclasses.field(default_factory=dict)
    thread_changes: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, dataclasses.asdict(self))


def load_choices(folder: Path) -> Choices | None:
    """The choices saved in a run folder; None where there are none.

    Raises RunError where they can't be used here: written by another version, or made for a device that isn't there.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        saved = read_json(path)
        choices = Choices(**{**saved, "kernels": Kernels(**saved["kernels"])})
    except (TypeError, KeyError) as error:
        raise RunError(
            f"{path} is not what this version of textmill writes; train anew with --restart, or give another --out"
        ) from error
    device = choices.kernels.device
    if (device == "cuda" and not torch.cuda.is_available()) or (device == "mps" and not torch.backends.mps.is_available()):
        raise RunError(
            f"this run was begun on {choices.machine} ({device}), which isn't there; "
            "go on where it is, train anew with --restart, or give another --out"
        )
    return choices


def warn_of_another_machine(choices: Choices) -> None:
    """Say so where the machine or torch isn't the one that the choices were made with."""
    here = machine_name(torch.device(choices.kernels.device)), torch.__version__
    if here != (choices.machine, choices.torch):
        print(
            f"This run was begun on {choices.machine} with torch {choices.torch}; on {here[0]} with torch {here[1]} "
            "its last digits will differ."
        )


def checkpoint_interval(settings: TrainSettings, choices: Choices) -> int:
    """Steps between two checkpoints."""
    if isinstance(settings.checkpoint_steps, int):
        return settings.checkpoint_steps
    return max(1, round(CHECKPOINT_SECONDS / choices.seconds_per_step))


def validations(settings: TrainSettings, choices: Choices) -> int:
    """How often is validated: as the recipe says, or less where that would take more than a twentieth of the time; once all the
    same, unless that once would take a quarter of it."""
    if settings.time is None or settings.validations == 0:
        return settings.validations
    budget = seconds_of(settings.time)
    once = int(choices.validation_seconds < budget / 4)
    return max(once, min(settings.validations, int(VALIDATION_SHARE * budget / choices.validation_seconds)))


def steps_wanted(settings: TrainSettings, context: int) -> int:
    """Steps that the recipe's limits on steps and tokens allow; a number beyond any run where it sets neither.

    `context` is the model's.
    """
    limits = [2**62]
    if settings.steps is not None:
        limits.append(settings.steps)
    if settings.tokens is not None:
        limits.append(max(1, int(settings.tokens / mean_tokens(settings, context))))
    return min(limits)


def plan_steps(settings: TrainSettings, context: int, choices: Choices) -> int:
    """How many steps the run has: what the recipe's limits allow, the time turned into steps by what was measured.

    Raises TrainingError where the time isn't enough for one step.
    """
    steps = steps_wanted(settings, context)
    if settings.time is None:
        return steps
    if settings.time in choices.timed_steps:
        return min(steps, choices.timed_steps[settings.time])
    fixed = choices.setup_seconds + fixed_seconds(settings, choices)
    per_step = seconds_with_checkpoints(settings, choices)
    timed = int((seconds_of(settings.time) - fixed) / per_step)
    if timed < 1:
        raise TrainingError(
            f"train.time = {settings.time!r} is too short: measuring, validation and saving take "
            f"{format_seconds(fixed)} here and one step {choices.seconds_per_step:.2f} s; "
            f"give more time, such as train.time = '{math.ceil(2 * (fixed + per_step))}s', or a smaller model"
        )
    return min(steps, timed)


def fixed_seconds(settings: TrainSettings, choices: Choices) -> float:
    """What a run with a time budget spends on all but its steps: validation, samples and the checkpoints that go with them."""
    assert settings.time is not None
    moments = 1 + sum(moment <= seconds_of(settings.time) for moment in SAMPLE_MOMENTS)  # and one at the end
    checks = validations(settings, choices)  # one that finds the best so far is followed by a checkpoint
    seconds = checks * (choices.validation_seconds + choices.checkpoint_seconds)
    seconds += choices.validation_seconds if settings.averaging else 0.0
    return seconds + moments * choices.sample_seconds + 2 * choices.checkpoint_seconds


def seconds_with_checkpoints(settings: TrainSettings, choices: Choices) -> float:
    """What a step takes, its share of the checkpoints between included."""
    return choices.seconds_per_step + choices.checkpoint_seconds / checkpoint_interval(settings, choices)


def fix_steps(settings: TrainSettings, context: int, choices: Choices) -> tuple[int, Choices]:
    """The run's number of steps, and the choices with the time budget's steps written down."""
    steps = plan_steps(settings, context, choices)
    if settings.time is None or settings.time in choices.timed_steps:
        return steps, choices
    timed = plan_steps(settings.model_copy(update={"steps": None, "tokens": None}), context, choices)
    return steps, dataclasses.replace(choices, timed_steps={**choices.timed_steps, settings.time: timed})
