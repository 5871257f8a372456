"""Before the first step: run a few steps on throw-away copies, choose what is fastest, and turn the time into steps.

The choices are saved with the run, so that a resumed run computes the same bits. None of them changes the global batch.
"""

import copy
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from ..machine import best_device, machine_name, matrix_flops, synchronize, usable_cores
from ..progress import format_seconds
from .checkpoints import TrainState, save_checkpoint
from .optimizers import Optimizer
from .settings import TrainSettings, seconds_of
from .step import Kernels, run_step

COMPILE_WORTHWHILE = 1200.0  # seconds of training under which compiling (half a minute and more on a CPU) isn't tried
CHECKPOINT_SECONDS = 30.0  # at most about this much work is lost with the power
SAMPLE_MOMENTS = (10.0, 30.0, 60.0, 120.0, 300.0)  # seconds of training after which a sample is shown
PROBE_SHARE = 0.1  # share of the time budget that may go into measuring


@dataclasses.dataclass(frozen=True)
class Choices:
    """What was measured on this machine and fixed for the whole run. Times in seconds, `peak_flops` per second."""

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

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "Choices":
        return cls(**{**saved, "kernels": Kernels(**saved["kernels"])})


class Measured:
    """A throw-away copy of the training, on which candidates are timed."""

    def __init__(self, settings: TrainSettings, model: nn.Module, objective: Any, loader: Any):
        self.settings, self.objective, self.loader = settings, objective, loader
        self.model = copy.deepcopy(model)
        self.optimizer = Optimizer(self.model, settings)
        self.step = 0

    def seconds(self, kernels: Kernels, steps: int) -> float:
        """Seconds of one step, the median of `steps` after one that isn't counted."""
        taken = []
        runner = kernels.prepare(self.model)
        for _ in range(steps + 1):
            before = time.perf_counter()
            batch = self.loader.batch(self.step)
            run_step(runner, self.optimizer, self.objective, batch, None, kernels, self.step, rate=0.1)
            synchronize(torch.device(kernels.device))
            taken.append(time.perf_counter() - before)
            self.step += 1
        return sorted(taken[1:])[steps // 2]


def calibrate(
    settings: TrainSettings,
    model: nn.Module,
    objective: Any,
    loader: Any,
    validate: Callable[[nn.Module], Any],
    sample: Callable[[nn.Module], Any],
    say: Callable[[str], None],
) -> Choices:
    """Measure and choose. Takes some twenty steps, fewer where they are slow against the time budget."""
    started = time.perf_counter()
    budget = seconds_of(settings.time) if settings.time else None
    device = best_device()
    measured = Measured(settings, model.to(device), objective, loader)
    reasons: list[str] = []
    best = Kernels(
        device=device.type,
        threads=settings.threads if isinstance(settings.threads, int) else usable_cores(),
        dtype=settings.dtype if settings.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32",
        attention=settings.attention if settings.attention != "auto" else "fused",
        micro_batch=settings.micro_batch if isinstance(settings.micro_batch, int) else settings.batch_size,
        compile=settings.compile == "on",
    )
    fastest = measured.seconds(best, steps=3)
    for field, candidates in _candidates(settings, best).items():
        for candidate in candidates:
            if budget is not None and time.perf_counter() - started + 3 * fastest > PROBE_SHARE * budget:
                reasons.append(f"{field} {candidate}: not tried, the time is short")
                continue
            trial = dataclasses.replace(best, **{field: candidate})
            seconds = measured.seconds(trial, steps=2)
            old = getattr(best, field)
            reasons.append(f"{field} {candidate}: {seconds:.3f} s a step, against {fastest:.3f} s with {field} {old}")
            if seconds < 0.97 * fastest:  # less is noise
                best, fastest = trial, seconds
    if settings.compile == "auto":
        best = _consider_compiling(best, measured, fastest, settings, budget, reasons)
    peak = matrix_flops(device, getattr(torch, best.dtype))
    seconds_per_step = measured.seconds(best, steps=5)
    choices = Choices(
        machine=machine_name(device),
        torch=torch.__version__,
        kernels=best,
        seconds_per_step=seconds_per_step,
        validation_seconds=_seconds(lambda: validate(measured.model)),
        sample_seconds=_seconds(lambda: sample(measured.model)),
        checkpoint_seconds=_checkpoint_seconds(measured),
        setup_seconds=time.perf_counter() - started,
        peak_flops=peak,
        reasons=reasons,
    )
    say(f"Measured on {choices.machine} in {format_seconds(choices.setup_seconds)}: {best}")
    return choices


def _candidates(settings: TrainSettings, best: Kernels) -> dict[str, list[Any]]:
    """What is tried beside the first guess, for each choice that the recipe leaves open."""
    candidates: dict[str, list[Any]] = {}
    if settings.threads == "auto" and best.device == "cpu" and best.threads > 1:
        candidates["threads"] = sorted({best.threads // 2, 1}, reverse=True)
    if settings.dtype == "auto":
        candidates["dtype"] = ["float32" if best.dtype == "bfloat16" else "bfloat16"]
    if settings.attention == "auto":
        candidates["attention"] = ["eager"]
    if settings.micro_batch == "auto":
        halves = [settings.batch_size // parts for parts in (2, 4) if settings.batch_size % parts == 0]
        candidates["micro_batch"] = halves
    return candidates


def _consider_compiling(
    best: Kernels, measured: Measured, fastest: float, settings: TrainSettings, budget: float | None, reasons: list[str]
) -> Kernels:
    expected = budget or fastest * steps_wanted(settings, measured.loader.plan.tokens_per_step)
    if expected < COMPILE_WORTHWHILE:
        reasons.append(f"compile: not tried, a run of {format_seconds(expected)} is too short to win its time back")
        return best
    try:
        before = time.perf_counter()
        compiled = measured.seconds(dataclasses.replace(best, compile=True), steps=2)
        cost = time.perf_counter() - before
    except Exception as error:  # whatever torch, Triton or a C++ compiler raises: the plain path works
        reasons.append(f"compile: failed here ({type(error).__name__}: {str(error).splitlines()[0]}), so it is off")
        return best
    reasons.append(f"compile: {compiled:.3f} s a step after {cost:.0f} s of compiling, against {fastest:.3f} s without")
    gained = expected * (1 - compiled / fastest)
    return dataclasses.replace(best, compile=True) if gained > cost else best


def _seconds(action: Callable[[], Any]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def _checkpoint_seconds(measured: Measured) -> float:
    state = TrainState(0, measured.model, measured.optimizer)
    with tempfile.TemporaryDirectory() as folder:
        return _seconds(lambda: save_checkpoint(Path(folder), state, {}, 1, 0))


def steps_wanted(settings: TrainSettings, tokens_per_step: int) -> int:
    """Steps that the recipe's limits on steps and tokens allow; a number beyond any run where it sets neither."""
    limits = [2**62]
    if settings.steps is not None:
        limits.append(settings.steps)
    if settings.tokens is not None:
        limits.append(max(1, settings.tokens // tokens_per_step))
    return min(limits)


def plan_steps(settings: TrainSettings, tokens_per_step: int, choices: Choices) -> int:
    """How many steps the run has: a function of the recipe and the saved choices, so the same when it is resumed."""
    steps = steps_wanted(settings, tokens_per_step)
    if settings.time is None:
        return steps
    budget = seconds_of(settings.time)
    moments = sum(moment <= budget for moment in SAMPLE_MOMENTS)
    fixed = choices.setup_seconds + settings.validations * choices.validation_seconds
    fixed += moments * choices.sample_seconds + 2 * choices.checkpoint_seconds
    per_step = choices.seconds_per_step * (1 + choices.checkpoint_seconds / CHECKPOINT_SECONDS)
    timed = int((budget - fixed) / per_step)
    if timed < 1:
        raise TrainingError(
            f"train.time = {settings.time!r} is too short: measuring, validation and saving take "
            f"{format_seconds(fixed)} here and one step {choices.seconds_per_step:.2f} s; "
            "give more time or a smaller model"
        )
    return min(steps, timed)


def checkpoint_interval(settings: TrainSettings, choices: Choices) -> int:
    """Steps between two checkpoints."""
    if isinstance(settings.checkpoint_steps, int):
        return settings.checkpoint_steps
    return max(1, round(CHECKPOINT_SECONDS / choices.seconds_per_step))
