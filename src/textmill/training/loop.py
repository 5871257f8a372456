"""The one training loop: batch in, step, and from time to time a validation, a sample, a checkpoint.

Everything that reaches the weights is a function of the step, so a run that was killed and resumed ends with the same
bits as one that wasn't. What depends on the clock (samples, the progress line) only looks.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from ..models.count import Count
from ..progress import Progress, format_count, format_seconds
from ..tokens.loader import Loader
from ..tokens.permutation import mix
from .calibration import calibrate
from .checkpoints import TrainState, discard_after, list_checkpoints, refuse_other_training, restore, save_checkpoint
from .choices import (
    SAMPLE_MOMENTS,
    Choices,
    checkpoint_interval,
    fix_steps,
    load_choices,
    validations,
    warn_of_another_machine,
)
from .metrics import metrics_writer
from .objectives import Objective
from .optimizers import Optimizer
from .schedules import decay_start, rate
from .settings import TrainSettings, seconds_of
from .step import StepResult, run_step

SKIPPED_IN_A_ROW = 5  # bad steps one after the other, after which going on is no use


@dataclass(frozen=True)
class Training:
    """What is trained, on what, and how one looks at it on the way.

    `validate` gives bits per byte on held-out documents, `sample` a piece of the model's writing; neither may change
    the model. `lineage` names all that makes two trainings the same, apart from their length.
    """

    settings: TrainSettings
    model: nn.Module
    objective: Objective
    loader: Loader
    count: Count
    bytes_per_token: float
    validate: Callable[[nn.Module], float]
    sample: Callable[[nn.Module], str]
    folder: Path
    lineage: dict[str, Any]

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def share_of_peak(self, choices: Choices, tokens_per_second: float) -> float:
        """Share of the measured matrix peak that the model's own operations are."""
        return tokens_per_second * self.count.needed_training_flops / choices.peak_flops


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished training took. Its speed counts all its time, validation and saving included."""

    steps: int
    tokens: int
    epochs: float
    unread_tokens: int
    seconds: float
    tokens_per_second: float
    share_of_peak: float
    skipped_steps: int
    resumed_from: int
    machine: str


def train(training: Training) -> TrainingSummary:
    """Train to the end of the recipe's budget, from the newest checkpoint where there is one.

    `folder` receives `checkpoints/`, `choices.json` and `metrics.jsonl`. Raises TrainingError where training can't go on,
    RunError where the folder belongs to another training, and KeyboardInterrupt, after a checkpoint, where the process
    was asked to stop.
    """
    settings, tokens = training.settings, training.loader.plan.tokens_per_step
    refuse_other_training(training.checkpoints, training.lineage)
    choices = _choices(training)
    steps, choices = fix_steps(settings, tokens, choices)
    choices.save(training.folder)
    stable_until = decay_start(settings, steps)
    state = TrainState(0, training.model.to(choices.kernels.device), Optimizer(training.model, settings))
    _restore(training, state, steps, stable_until)
    resumed_from = saved_at = state.step
    runner = choices.kernels.prepare(training.model)
    interval, checks = checkpoint_interval(settings, choices), validations(settings, choices)
    started = time.perf_counter() - (state.seconds or choices.setup_seconds)
    bad_steps = 0
    with (
        metrics_writer(training.folder, state.step) as record,
        Progress("train", steps * tokens, "tokens") as progress,
        _asked_to_stop(progress) as stop,
    ):
        progress.start_from(state.step * tokens)
        while state.step < steps:
            training.model.train()
            torch.manual_seed(mix(settings.seed, state.step))  # so that dropout is a function of (seed, step)
            factor, batch = rate(settings, steps, state.step), training.loader.batch(state.step)
            result = run_step(
                runner, state.optimizer, training.objective, batch, state.carry, choices.kernels, state.step, factor
            )
            state.carry = result.carry
            state.step += 1
            bad_steps = 0 if result.finite else bad_steps + 1
            state.skipped_steps += not result.finite
            if bad_steps == SKIPPED_IN_A_ROW:
                raise _diverged(state.step)
            before, state.seconds = state.seconds, time.perf_counter() - started
            bits_per_byte = result.loss / math.log(2) / training.bytes_per_token
            record("step", step=state.step, seconds=state.seconds, loss=result.loss, bits_per_byte=bits_per_byte,
                   rate=factor, finite=result.finite)  # fmt: skip
            progress.advance(tokens, _detail(training, choices, progress, state.step, steps, result, bits_per_byte))

            training.model.eval()
            if _due(state.step, steps, checks):
                validation = training.validate(training.model)
                record("validation", step=state.step, seconds=state.seconds, bits_per_byte=validation)
                progress.say(f"  step {state.step:,}: {validation:.3f} bits per byte on held-out text")
            if any(before < moment <= state.seconds for moment in SAMPLE_MOMENTS):
                text = training.sample(training.model)
                record("sample", step=state.step, seconds=state.seconds, text=text)
                progress.say(f"  after {format_seconds(state.seconds)} it writes: {' '.join(text.split())}")
            if state.step - saved_at >= interval or state.step in (stable_until, steps) or stop.is_set():
                state.seconds = time.perf_counter() - started
                save_checkpoint(training.checkpoints, state, training.lineage, steps, stable_until, settings.keep_checkpoints)
                saved_at = state.step
            if stop.is_set() and state.step < steps:
                progress.say(f"Stopped at step {state.step:,} of {steps:,}, saved. Without --restart, `textmill run` goes on.")
                raise KeyboardInterrupt
    return _summary(training, choices, state, steps, resumed_from)


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
        training.validate,
        training.sample,
        training.folder,
        training.lineage,
    )


def _restore(training: Training, state: TrainState, steps: int, stable_until: int) -> None:
    """Go on from a checkpoint where one fits, and say from where; checkpoints of a shorter, finished run give way."""
    restored = restore(training.checkpoints, state, steps, stable_until)
    beyond = [checkpoint for checkpoint in list_checkpoints(training.checkpoints) if checkpoint.step > state.step]
    if beyond and beyond[-1].steps != steps and beyond[-1].step < beyond[-1].steps:
        raise TrainingError(
            f"{training.folder} holds a training stopped at step {beyond[-1].step:,} of {beyond[-1].steps:,}, and this one "
            f"would have {steps:,}: finish it with the limits it was begun with, or throw it away with --restart"
        )
    if restored:
        print(f"Going on from step {state.step:,} of {steps:,}.")
    elif beyond:
        print("Starting from step 0: with this schedule the first steps depend on the run's length.")
    discard_after(training.checkpoints, state.step)


def _diverged(step: int) -> TrainingError:
    return TrainingError(
        f"the gradient was not finite in {SKIPPED_IN_A_ROW} steps in a row, up to step {step}; lower "
        "train.embedding_learning_rate and train.matrix_learning_rate, and train anew with --restart"
    )


def _detail(
    training: Training,
    choices: Choices,
    progress: Progress,
    step: int,
    steps: int,
    result: StepResult,
    bits_per_byte: float,
) -> str:
    share = training.share_of_peak(choices, progress.speed())
    return f"step {step:,}/{steps:,}  loss {result.loss:.3f}  {bits_per_byte:.3f} bits/byte  {share:.0%} of peak"


def _due(step: int, steps: int, times: int) -> bool:
    """Whether one of the `times` even parts of a run ends at this step."""
    return times > 0 and step * times // steps > (step - 1) * times // steps


@contextmanager
def _asked_to_stop(progress: Progress) -> Iterator[threading.Event]:
    """Set on Ctrl-C or SIGTERM, so that the step at hand is finished and saved; a second Ctrl-C stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals reach the main thread alone
        return

    def ask(*_: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        progress.say("Finishing this step and saving …")

    handlers = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _summary(training: Training, choices: Choices, state: TrainState, steps: int, resumed_from: int) -> TrainingSummary:
    settings, tokens = training.settings, steps * training.loader.plan.tokens_per_step
    speed = tokens / max(state.seconds - choices.setup_seconds, 1e-9)
    share = training.share_of_peak(choices, speed)
    if settings.time and state.seconds > 1.1 * seconds_of(settings.time):
        print(
            f"The training took {format_seconds(state.seconds)} instead of {settings.time}: the machine became slower than "
            "it was when measured. The number of steps was kept."
        )
    if steps <= settings.warmup_steps:
        print(f"Only {steps} steps were done, fewer than train.warmup_steps = {settings.warmup_steps}.")
    print(
        f"  {steps:,} steps, {format_count(tokens)} tokens in {format_seconds(state.seconds)}: "
        f"{format_count(speed)} tokens/s, {share:.0%} of the machine's matrix peak, all included"
        + (f"; {state.skipped_steps} steps skipped, their gradient was not finite" if state.skipped_steps else "")
    )
    return TrainingSummary(
        steps=steps,
        tokens=tokens,
        epochs=steps * settings.batch_size / training.loader.rows_per_epoch,
        unread_tokens=training.loader.unread_tokens(0),
        seconds=state.seconds,
        tokens_per_second=speed,
        share_of_peak=share,
        skipped_steps=state.skipped_steps,
        resumed_from=resumed_from,
        machine=choices.machine,
    )
