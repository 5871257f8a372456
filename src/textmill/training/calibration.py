"""Before the first step: run a few steps on throw-away copies, choose what is fastest, and take the time of everything else.

None of the choices changes the global batch.
"""

import contextlib
import copy
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..files import fingerprint
from ..machine.cores import usable_cores
from ..machine.device import best_device, machine_name, synchronize
from ..machine.memory import free_bytes
from ..machine.neighbours import Neighbours
from ..machine.profile import peak_flops, recall, remember
from ..models.attention import FLEXIBLE, KERNELS, Attention
from ..models.language_model import TrainableModel
from ..native.library import NoKernels
from ..native.probe import training_tried
from ..progress import format_seconds
from ..tokens.loader import BatchSource
from ..tokens.plans import Phase
from .averaging import WeightAverage
from .checkpoints import TrainState, save_checkpoint
from .choices import Choices, steps_wanted
from .compiling import consider_compiling
from .memory import advice, largest_micro_batch, memory_need
from .objectives import Objective
from .optimizers import Optimizer
from .schedules import stretches
from .settings import TrainSettings, seconds_of
from .step import Kernels, run_step

PROBE_SHARE = 0.05  # share of the time budget that may go into trying alternatives


class TrialTraining:
    """A throw-away copy of the training, on which candidates are timed."""

    def __init__(
        self,
        settings: TrainSettings,
        model: TrainableModel,
        objective: Objective,
        loader: BatchSource,
        factors: Mapping[str, float] | None = None,
    ):
        self.settings, self.objective, self.loader = settings, objective, loader
        self.model = copy.deepcopy(model)
        self.config = model.config
        self.attends = any(isinstance(module, Attention) for module in self.model.modules())
        self.optimizer = Optimizer(self.model, settings, factors)
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
    model: TrainableModel,
    objective: Objective,
    loader: BatchSource,
    validation_seconds: Callable[[Any], float],
    sample: Callable[[Any], Any],
    folder: Path,
    lineage: dict[str, Any],
    factors: Mapping[str, float] | None = None,
) -> Choices:
    """Measure and choose. Takes some twenty steps, fewer where they are slow against the time budget.

    What was chosen before for the same shapes on this machine is chosen again, unmeasured. `folder` is where checkpoints
    will be written. Raises TrainingError where not even one row fits into memory.
    """
    started = time.perf_counter()
    budget = seconds_of(settings.time) if settings.time else None
    device = best_device()
    trial = TrialTraining(settings, model.to(device), objective, loader, factors)
    reasons: list[str] = []
    best, fastest = _choose_kernels(settings, trial, device, budget, started, reasons)
    if settings.compile == "auto" and not trial.attends:
        reasons.append("compile: off, each recurrent layer is one kernel already")
    elif settings.compile == "auto" and settings.threads == "adapt":
        reasons.append("compile: off, a compiled step is made for one number of threads")
    elif settings.compile == "auto":
        expected = budget or fastest * steps_wanted(settings, loader.plan.context)
        best, fastest = consider_compiling(best, fastest, expected, settings, loader.plan, trial.config, objective, reasons)
    if budget is None or 6 * fastest < PROBE_SHARE * budget:
        # Once more, warm and over more steps. A neighbour in one of both moments makes it slower, and nothing makes it faster.
        fastest = min(fastest, trial.seconds(best, steps=5))
    choices = Choices(
        lineage=lineage,
        machine=machine_name(device),
        torch=torch.__version__,
        kernels=best,
        seconds_per_step=_mean_seconds(settings, trial, best, fastest),
        validation_seconds=validation_seconds(trial.model),
        sample_seconds=_seconds(lambda: sample(trial.model)),
        checkpoint_seconds=_checkpoint_seconds(trial, folder),
        peak_flops=peak_flops(device, getattr(torch, best.dtype)),
        setup_seconds=time.perf_counter() - started,
        reasons=reasons,
    )
    print(f"  measured on {choices.machine} in {format_seconds(choices.setup_seconds)}: {best}")
    return choices


def _choose_kernels(
    settings: TrainSettings,
    trial: TrialTraining,
    device: torch.device,
    budget: float | None,
    started: float,
    reasons: list[str],
) -> tuple[Kernels, float]:
    """The fastest of what the recipe leaves open, and its seconds a step: as remembered, else by trying each."""
    native = _native(device, reasons)
    key = f"kernels/{device.type}/{native}/{_shape(settings, trial)}"
    known = recall(key)
    if known is not None:
        with contextlib.suppress(TypeError, RuntimeError, KeyError):  # another version's, or memory has become short
            best = Kernels(**known["kernels"])
            seconds = trial.seconds(best, steps=1)
            reasons.extend(["as measured on this machine before:", *known["reasons"]])
            return best, seconds
    neighbours, tried_all = Neighbours(), True
    best, fastest = _first_guess(settings, trial, device, native, reasons)
    for field, candidates in _candidates(settings, best, device, reasons).items():
        for candidate in candidates:
            if budget is not None and time.perf_counter() - started + 3 * fastest > PROBE_SHARE * budget:
                reasons.append(f"{field} {candidate}: not tried, the time is short")
                tried_all = False
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
    if tried_all:
        remember(key, {"kernels": dataclasses.asdict(best), "reasons": reasons[:]}, neighbours.crowded())
    return best, fastest


def _native(device: torch.device, reasons: list[str]) -> str:
    """The instruction set of the C++ kernels, or torch where there are none for this device."""
    if device.type != "cpu":
        return "torch"
    try:
        return training_tried()
    except NoKernels as error:
        reasons.append(f"native: torch, there are {error}")
        return "torch"


def _shape(settings: TrainSettings, trial: TrialTraining) -> str:
    """A name for all that the speed of a step depends on."""
    names = (
        "batch_size optimizer threads dtype attention micro_batch activation_checkpointing document_attention dropout "
        "weight_dropout averaging l1 compile"
    )
    settled = {name: getattr(settings, name) for name in names.split()}
    return fingerprint([dataclasses.asdict(trial.config), settled])[:16]


def _first_guess(
    settings: TrainSettings, trial: TrialTraining, device: torch.device, native: str, reasons: list[str]
) -> tuple[Kernels, float]:
    """What to start from, and its seconds a step: the whole batch at once, or the largest part that fits into memory."""
    attention = settings.attention if settings.attention != "auto" else "fused"
    guess = Kernels(
        device=device.type,
        threads=settings.threads if isinstance(settings.threads, int) else usable_cores(),
        dtype=settings.dtype if settings.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32",
        attention=attention if trial.attends else "none",
        micro_batch=settings.micro_batch if isinstance(settings.micro_batch, int) else settings.batch_size,
        compile=settings.compile == "on",
        activation_checkpointing=settings.activation_checkpointing == "on",
        native=native,
    )
    guess = _fit_memory(guess, settings, trial, device, reasons)
    while True:
        try:
            return guess, trial.seconds(guess, steps=1)
        except Exception as error:  # what compilers raise is no RuntimeError
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            reasons.append(f"micro_batch {guess.micro_batch}: failed here ({what})")
            trial.optimizer.zero_gradients()
            if settings.attention in (*KERNELS, FLEXIBLE) and "memory" not in what:
                raise TrainingError(
                    f"train.attention: torch's {settings.attention} kernel doesn't work here ({what}); "
                    "write auto, fused or eager"
                ) from error
            if settings.compile == "on" or settings.micro_batch != "auto" or guess.micro_batch % 2:
                if settings.compile == "on":
                    raise TrainingError(
                        f"one step failed with {guess}: {what}. Without --set train.compile=on it may work"
                    ) from error
                eager = guess.attention == "eager"
                need = memory_need(trial.config, settings, guess.micro_batch, guess.dtype, eager, device=device.type)
                raise TrainingError(
                    f"one step failed with {guess}: {what}. It takes about {need}. If memory was short, take a fifth less. "
                    + advice(trial.config, settings, guess.dtype, int(0.8 * need.total), device.type)
                ) from error
            guess = dataclasses.replace(guess, micro_batch=guess.micro_batch // 2)


def _fit_memory(
    guess: Kernels, settings: TrainSettings, trial: TrialTraining, device: torch.device, reasons: list[str]
) -> Kernels:
    """The guess with micro-batches that fit into the memory that is free, and layers computed twice only if they must be."""
    config, eager = trial.config, guess.attention == "eager"
    free = free_bytes(device)
    ways = [True] if guess.activation_checkpointing else [False, True]
    for recompute in ways if settings.activation_checkpointing == "auto" else ways[:1]:
        rows = largest_micro_batch(config, settings, guess.dtype, eager, recompute, free, device.type)
        if rows is not None:
            need = memory_need(config, settings, rows, guess.dtype, eager, recompute, device.type)
            reasons.append(f"micro_batch {rows} takes about {need}; {free / 1e9:.1f} GB are free")
            return dataclasses.replace(guess, micro_batch=rows, activation_checkpointing=recompute)
    reasons.append(f"little memory: {free / 1e9:.2f} GB are free, and a step needs about as much, or more")
    return guess


def _candidates(settings: TrainSettings, best: Kernels, device: torch.device, reasons: list[str]) -> dict[str, list[Any]]:
    """What is tried beside the first guess, for each choice that the recipe leaves open."""
    candidates: dict[str, list[Any]] = {}
    if isinstance(settings.threads, str) and best.device == "cpu" and best.threads > 1:
        candidates["threads"] = sorted({best.threads // 2, 1}, reverse=True)
    if settings.micro_batch == "auto":
        candidates["micro_batch"] = [best.micro_batch // parts for parts in (2, 4) if best.micro_batch % parts == 0]
    if settings.attention == "auto" and best.attention != "none":
        candidates["attention"] = [*((*KERNELS, FLEXIBLE) if device.type == "cuda" else ()), "eager"]
    if settings.dtype == "auto":
        other = "float32" if best.dtype == "bfloat16" else "bfloat16"
        here, there = (peak_flops(device, getattr(torch, name)) for name in (best.dtype, other))
        if there > here:
            candidates["dtype"] = [other]
        else:  # a CPU that only imitates a format takes a hundred times as long: not even one step of it is worth a trial
            reasons.append(
                f"dtype {other}: not tried, its products run at {there / 1e9:.3g} GFLOP/s here, {best.dtype}'s at "
                f"{here / 1e9:.3g}"
            )
    return candidates


def _mean_seconds(settings: TrainSettings, trial: TrialTraining, kernels: Kernels, seconds: float) -> float:
    """Seconds of a step on the average over the run: each size of its schedules is measured for itself."""
    total, base = 0.0, trial.loader
    for part in stretches(settings, base.plan.context):
        if (part.batch_size, part.context) == (base.plan.batch_size, base.plan.context):
            total += part.share * seconds
        else:
            trial.loader = base.following((Phase(2**62, part.batch_size, part.context),))
            total += part.share * trial.seconds(kernels, steps=2)
    trial.loader = base
    return total


def _seconds(action: Callable[[], Any]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def _checkpoint_seconds(trial: TrialTraining, folder: Path) -> float:
    average = WeightAverage(trial.model, trial.settings.averaging) if trial.settings.averaging else None
    state = TrainState(0, trial.model, trial.optimizer, average)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".partial") as place:
        return _seconds(lambda: save_checkpoint(Path(place), state, {}, 1, 0, keep=1))
