"""The one training loop: batch in, step, and from time to time a validation, a sample, a checkpoint.

Everything that reaches the weights is a function of the step, so a run that was killed and resumed ends with the same
bits as one that wasn't. What depends on the clock (samples, the progress line) only looks.
"""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from ..interruption import Stopped, stop_deferred
from ..models.count import Count
from ..models.language_model import TrainableModel
from ..progress import Progress, format_seconds
from ..score import Figure
from ..tokens.loader import Batch, BatchSource
from ..tokens.permutation import mix
from .averaging import WeightAverage
from .calibration import calibrate
from .checkpoints import TrainState, discard_after, list_checkpoints, refuse_other_training, restore, save_checkpoint
from .choices import FILE as CHOICES_FILE
from .choices import (
    SAMPLE_MOMENTS,
    Choices,
    checkpoint_interval,
    fix_steps,
    load_choices,
    plan_steps,
    validations,
    warn_of_another_machine,
)
from .metrics import FILE as METRICS_FILE
from .metrics import metrics_writer
from .objectives import CausalObjective, Objective
from .optimizers import Optimizer
from .pace import Pace
from .prefetch import prefetched
from .schedules import mean_tokens, phases, rate, same_until
from .settings import TrainSettings
from .step import StepResult, run_step
from .step_threads import StepThreads
from .stopping import choose_weights, due, note_validation, out_of_patience
from .summary import TrainingSummary, summarise

SKIPPED_IN_A_ROW = 5  # bad steps one after the other, after which going on is no use


@dataclass(frozen=True)
class Training:
    """What is trained, on what, and how one looks at it on the way.

    `validate` gives `figure` on held-out documents, lower is better, `validation_seconds` what that takes, `sample` a piece of
    what the model makes of text, which it `verb`; none of them may change the model. One target stands for `units_per_target`
    of what the figure counts by: bytes, say. `lineage` names all that makes two trainings the same, apart from their length.
    `factors` of the learning rate by the parameters' names. `validated_in`: what `validate` gives, where it isn't `figure`.
    """

    settings: TrainSettings
    model: TrainableModel
    objective: Objective
    loader: BatchSource
    count: Count
    verb: str
    figure: Figure
    units_per_target: float
    validate: Callable[[Any], float]
    validation_seconds: Callable[[Any], float]
    sample: Callable[[Any], str]
    folder: Path
    lineage: dict[str, Any]
    factors: Mapping[str, float] | None = None
    validated_in: Figure | None = None

    @property
    def validation_figure(self) -> Figure:
        return self.validated_in or self.figure

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def context(self) -> int:
        return self.loader.plan.context


def train(training: Training) -> TrainingSummary:
    """Train to the end of the recipe's budget, from the newest checkpoint where there is one.

    `folder` receives `checkpoints/`, `choices.json` and `metrics.jsonl`. Raises TrainingError where training can't go on,
    RunError where the folder belongs to another training, and Stopped, after a checkpoint, where the process
    was asked to stop.
    """
    while (summary := _train(training)) is None:
        pass  # its plan was made anew, and it goes on as a run does that is prolonged
    return summary


def forget(folder: Path) -> None:
    """Throw away what a training has left in a folder."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    for name in (CHOICES_FILE, METRICS_FILE):
        (folder / name).unlink(missing_ok=True)


def _train(training: Training) -> TrainingSummary | None:
    """The same; None where the plan was made longer on the way, after a checkpoint."""
    settings, model = training.settings, training.model
    refuse_other_training(training.checkpoints, training.lineage)
    choices = _choices(training)
    steps, choices = fix_steps(settings, training.context, choices)
    choices.save(training.folder)
    stable_until = same_until(settings, steps)
    state = _begin(training, choices, steps, stable_until)
    resumed_from = saved_at = state.step
    loader = training.loader.following(phases(settings, training.context, steps))
    runner = choices.kernels.prepare(model, forgiving=True)
    interval, checks = checkpoint_interval(settings, choices), validations(settings, choices)
    state.stopped_early = out_of_patience(state, steps, checks, settings.patience)
    # What an objective makes of a batch beforehand, it makes on the CPU.
    carried_to = choices.kernels.device if isinstance(training.objective, CausalObjective) else "cpu"
    started = time.perf_counter() - (state.seconds or choices.setup_seconds)
    with (
        metrics_writer(training.folder, state.step, settings.tensorboard) as record,
        Progress("train", loader.plan.tokens_before(steps), "tokens") as progress,
        prefetched(loader, state.step, carried_to) as batches,
        stop_deferred(lambda: progress.say("Finishing this step and saving …")) as stop,
    ):
        progress.start_from(loader.plan.tokens_before(state.step))
        threads = StepThreads(settings, choices, mean_tokens(settings, training.context), training.folder, progress.say)
        pace = Pace(settings, training.context, choices)
        while state.step < steps and not state.stopped_early:
            before, begun = state.seconds, time.perf_counter()
            batch, factor = next(batches), rate(settings, steps, state.step)
            threads.begin(state.step)
            result = _step(training, choices, runner, state, batch, factor)
            state.seconds = time.perf_counter() - started
            speed = batch.tokens / (took := time.perf_counter() - begun)
            threads.measure(batch.tokens, took)
            pace.measure(batch.tokens, took)
            shown = _figures(training, choices, state, result, speed)
            record("step", tokens=loader.plan.tokens_before(state.step), rate=factor,
                   learning_rate=factor * state.optimizer.matrix_learning_rate, threads=threads.count, **shown)  # fmt: skip
            progress.advance(batch.tokens, _detail(state.step, steps, shown, training.figure))

            model.eval()
            if due(state.step, steps, checks):
                record("validation", step=state.step, seconds=state.seconds, **_validated(training, state, progress))
                state.stopped_early = state.step < steps and out_of_patience(state, steps, checks, settings.patience)
            ended = state.step == steps or state.stopped_early
            if ended or any(before < moment <= state.seconds for moment in SAMPLE_MOMENTS):
                record("sample", step=state.step, seconds=state.seconds, text=_sampled(training, state, progress))
            landmark = ended or state.step in (stable_until, state.best_step)
            if landmark or state.step - saved_at >= interval or stop.number:
                state.seconds = time.perf_counter() - started
                save_checkpoint(training.checkpoints, state, training.lineage, steps, stable_until, settings.keep_checkpoints)
                saved_at = state.step
            if stop.number:
                progress.say(f"Stopped at step {state.step:,} of {steps:,}, saved. Without --restart, `textmill run` goes on.")
                raise Stopped(stop.number)
            if state.step == stable_until and (longer := pace.longer(threads.choices, steps, state.step, state.seconds)):
                longer.save(training.folder)
                many = plan_steps(settings, training.context, longer)
                progress.say(f"Steps are faster than measured: {many:,} fit into {settings.time} instead of {steps:,}.")
                return None
        model.eval()
        weights = choose_weights(state, model, training.validate)
        reached = {training.validation_figure.key: weights.validation}
        record("weights", step=state.step, seconds=state.seconds, chosen=weights.kind, **reached)
    return summarise(settings, loader, training.count, choices, state, weights, steps, resumed_from, training.validation_figure)


def _validated(training: Training, state: TrainState, progress: Progress) -> dict[str, float]:
    """What the model reaches on held-out text now, by the figure's name."""
    validation = training.validate(training.model)
    note_validation(state, validation)
    progress.say(f"  step {state.step:,}: {validation:.3f} {training.validation_figure.name} on held-out text")
    return {training.validation_figure.key: validation}


def _sampled(training: Training, state: TrainState, progress: Progress) -> str:
    """What the model writes now."""
    text = training.sample(training.model)
    progress.say(f"  after {format_seconds(state.seconds)} it {training.verb}: {' '.join(text.split())}")
    return text


def _choices(training: Training) -> Choices:
    """The choices saved with this training, or freshly measured ones."""
    saved = load_choices(training.folder)
    if saved is not None and saved.lineage == training.lineage:
        warn_of_another_machine(saved)
        return saved
    return calibrate(
        training.settings,
        training.model,
        training.objective,
        training.loader,
        training.validation_seconds,
        training.sample,
        training.folder,
        training.lineage,
        training.factors,
    )


def _begin(training: Training, choices: Choices, steps: int, stable_until: int) -> TrainState:
    """The state before the next step: fresh, or from the newest checkpoint that fits."""
    settings, model = training.settings, training.model.to(choices.kernels.device)
    average = WeightAverage(model, settings.averaging) if settings.averaging is not None else None
    state = TrainState(0, model, Optimizer(model, settings, training.factors), average)
    _restore(training, state, steps, stable_until)
    return state


def _restore(training: Training, state: TrainState, steps: int, stable_until: int) -> None:
    """Go on from a checkpoint where one fits, and say from where; checkpoints of a shorter, finished run give way."""
    restored = restore(training.checkpoints, state, steps, stable_until)
    beyond = [checkpoint for checkpoint in list_checkpoints(training.checkpoints) if checkpoint.step > state.step]
    if beyond and beyond[-1].steps != steps and not beyond[-1].finished:
        raise TrainingError(
            f"{training.folder} holds a training stopped at step {beyond[-1].step:,} of {beyond[-1].steps:,}, and this one "
            f"would have {steps:,}: finish it with the limits it was begun with, or throw it away with --restart"
        )
    if restored:
        print(f"Going on from step {state.step:,} of {steps:,}.")
    elif beyond:
        print("Starting from step 0: with this schedule the first steps depend on the run's length.")
    discard_after(training.checkpoints, state.step)


def _step(
    training: Training, choices: Choices, runner: nn.Module, state: TrainState, batch: Batch, factor: float
) -> StepResult:
    """One step from `state` to the next, its counts and its average included. Raises TrainingError where it diverges."""
    training.model.train()
    torch.manual_seed(mix(training.settings.seed, state.step))  # so that dropout is a function of (seed, step)
    result = run_step(runner, state.optimizer, training.objective, batch, state.carry, choices.kernels, state.step, factor)
    state.carry = result.carry
    state.step += 1
    state.skipped_steps += not result.finite
    state.skipped_in_a_row = 0 if result.finite else state.skipped_in_a_row + 1
    state.clipped_steps += result.clipped
    if state.average is not None:
        state.average.update(state.step)
    if state.skipped_in_a_row == SKIPPED_IN_A_ROW:
        raise _diverged(training.settings, state)
    return result


def _diverged(settings: TrainSettings, state: TrainState) -> TrainingError:
    matrix, embedding = state.optimizer.matrix_learning_rate / 2, settings.embedding_learning_rate / 2
    clip = "" if settings.clip_norm is not None else " --set train.clip_norm=1.0"
    return TrainingError(
        f"the gradient was not finite in {SKIPPED_IN_A_ROW} steps in a row, up to step {state.step}, so training can't go on. "
        f"Train anew with half the learning rates: --restart --set train.matrix_learning_rate={matrix:g} "
        f"--set train.embedding_learning_rate={embedding:g}{clip}"
    )


def _figures(training: Training, choices: Choices, state: TrainState, result: StepResult, speed: float) -> dict[str, Any]:
    """What a step is shown and recorded by."""
    return {
        "step": state.step,
        "seconds": state.seconds,
        "loss": result.loss,
        training.figure.key: result.loss / math.log(2) / training.units_per_target,
        "gradient_norm": result.gradient_norm,
        "clipped": result.clipped,
        "finite": result.finite,
        "tokens_per_second": speed,
        "share_of_peak": speed * training.count.needed_training_flops / choices.peak_flops,
    }


def _detail(step: int, steps: int, shown: dict[str, Any], figure: Figure) -> str:
    return (
        f"step {step:,}/{steps:,}  loss {shown['loss']:.3f}  {shown[figure.key]:.3f} {figure.unit}  "
        f"{shown['share_of_peak']:.0%} of the matrix peak"
    )
