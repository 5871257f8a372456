"""Before the first step: run a few steps on throw-away copies, choose what is fastest, and take the time of everything else.

None of the choices changes the global batch.
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
from ..machine.cores import usable_cores
from ..machine.device import best_device, machine_name, synchronize
from ..machine.profile import peak_flops
from ..progress import format_seconds
from ..tokens.loader import Loader
from .checkpoints import TrainState, save_checkpoint
from .choices import Choices, steps_wanted
from .objectives import Objective
from .optimizers import Optimizer
from .settings import TrainSettings, seconds_of
from .step import Kernels, run_step

COMPILE_WORTHWHILE = 1200.0  # seconds of training under which compiling (half a minute and more on a CPU) isn't tried
PROBE_SHARE = 0.05  # share of the time budget that may go into trying alternatives


class TrialTraining:
    """A throw-away copy of the training, on which candidates are timed."""

    def __init__(self, settings: TrainSettings, model: nn.Module, objective: Objective, loader: Loader):
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
    objective: Objective,
    loader: Loader,
    validate: Callable[[nn.Module], Any],
    sample: Callable[[nn.Module], Any],
    folder: Path,
    lineage: dict[str, Any],
) -> Choices:
    """Measure and choose. Takes some twenty steps, fewer where they are slow against the time budget.

    `folder` is where checkpoints will be written. Raises TrainingError where not even one row fits into memory.
    """
    started = time.perf_counter()
    budget = seconds_of(settings.time) if settings.time else None
    device = best_device()
    trial = TrialTraining(settings, model.to(device), objective, loader)
    reasons: list[str] = []
    best, fastest = _first_guess(settings, trial, device, reasons)
    for field, candidates in _candidates(settings, best).items():
        for candidate in candidates:
            if budget is not None and time.perf_counter() - started + 3 * fastest > PROBE_SHARE * budget:
                reasons.append(f"{field} {candidate}: not tried, the time is short")
                continue
            kernels = dataclasses.replace(best, **{field: candidate})
            try:
                seconds = trial.seconds(kernels, steps=2)
            except RuntimeError as error:  # out of memory, or a kernel that this machine doesn't have
                reasons.append(f"{field} {candidate}: failed here ({str(error).splitlines()[0]})")
                trial.optimizer.zero_gradients()
                continue
            old = getattr(best, field)
            reasons.append(f"{field} {candidate}: {seconds:.3f} s a step, against {fastest:.3f} s with {field} {old}")
            if seconds < 0.97 * fastest:  # less is noise
                best, fastest = kernels, seconds
    if settings.compile == "auto":
        best = _consider_compiling(best, trial, fastest, settings, budget, reasons)
    if budget is None or 6 * fastest < PROBE_SHARE * budget:
        fastest = trial.seconds(best, steps=5)  # once more, warm and over more steps
    choices = Choices(
        lineage=lineage,
        machine=machine_name(device),
        torch=torch.__version__,
        kernels=best,
        seconds_per_step=fastest,
        validation_seconds=_seconds(lambda: validate(trial.model)),
        sample_seconds=_seconds(lambda: sample(trial.model)),
        checkpoint_seconds=_checkpoint_seconds(trial, folder),
        peak_flops=peak_flops(device, getattr(torch, best.dtype)),
        setup_seconds=time.perf_counter() - started,
        reasons=reasons,
    )
    print(f"  measured on {choices.machine} in {format_seconds(choices.setup_seconds)}: {best}")
    return choices


def _first_guess(
    settings: TrainSettings, trial: TrialTraining, device: torch.device, reasons: list[str]
) -> tuple[Kernels, float]:
    """What to start from, and its seconds a step: the whole batch at once, or the largest part that fits into memory."""
    guess = Kernels(
        device=device.type,
        threads=settings.threads if isinstance(settings.threads, int) else usable_cores(),
        dtype=settings.dtype if settings.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32",
        attention=settings.attention if settings.attention != "auto" else "fused",
        micro_batch=settings.micro_batch if isinstance(settings.micro_batch, int) else settings.batch_size,
        compile=settings.compile == "on",
    )
    while True:
        try:
            return guess, trial.seconds(guess, steps=1)
        except RuntimeError as error:
            reasons.append(f"micro_batch {guess.micro_batch}: failed here ({str(error).splitlines()[0]})")
            trial.optimizer.zero_gradients()
            if settings.micro_batch != "auto" or guess.micro_batch % 2:
                raise TrainingError(
                    f"one step failed with {guess}: {str(error).splitlines()[0]}. Out of memory? Take a smaller model, a "
                    "shorter model.context_length or a smaller train.micro_batch; else train.compile = 'off'"
                ) from error
            guess = dataclasses.replace(guess, micro_batch=guess.micro_batch // 2)


def _candidates(settings: TrainSettings, best: Kernels) -> dict[str, list[Any]]:
    """What is tried beside the first guess, for each choice that the recipe leaves open."""
    candidates: dict[str, list[Any]] = {}
    if settings.threads == "auto" and best.device == "cpu" and best.threads > 1:
        candidates["threads"] = sorted({best.threads // 2, 1}, reverse=True)
    if settings.micro_batch == "auto":
        candidates["micro_batch"] = [best.micro_batch // parts for parts in (2, 4) if best.micro_batch % parts == 0]
    if settings.attention == "auto":
        candidates["attention"] = ["eager"]
    if settings.dtype == "auto":
        candidates["dtype"] = ["float32" if best.dtype == "bfloat16" else "bfloat16"]
    return candidates


def _consider_compiling(
    best: Kernels,
    trial: TrialTraining,
    fastest: float,
    settings: TrainSettings,
    budget: float | None,
    reasons: list[str],
) -> Kernels:
    expected = budget or fastest * steps_wanted(settings, trial.loader.plan.context)
    if expected < COMPILE_WORTHWHILE:
        reasons.append(f"compile: not tried, a run of {format_seconds(expected)} is too short to win its time back")
        return best
    try:
        before = time.perf_counter()
        compiled = trial.seconds(dataclasses.replace(best, compile=True), steps=2)
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


def _checkpoint_seconds(trial: TrialTraining, folder: Path) -> float:
    state = TrainState(0, trial.model, trial.optimizer)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".partial") as place:
        return _seconds(lambda: save_checkpoint(Path(place), state, {}, 1, 0, keep=1))
