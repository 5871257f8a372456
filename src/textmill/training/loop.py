"""The one training loop: batch in, step, and from time to time a validation, a sample, a checkpoint.

Everything that reaches the weights is a function of the step, so a run that was killed and resumed ends with the same
bits as one that wasn't. What depends on the clock (samples, the progress line) only looks.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from torch import nn

from ..errors import TrainingError
from ..files import read_json, write_json
from ..models.count import Count
from ..progress import Progress, format_count, format_seconds
from ..tokens.loader import Loader
from .calibration import SAMPLE_MOMENTS, Choices, calibrate, checkpoint_interval, plan_steps
from .checkpoints import TrainState, restore, save_checkpoint
from .objectives import Objective
from .optimizers import Optimizer
from .schedules import decay_start, rate
from .settings import TrainSettings, seconds_of
from .step import run_step

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


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished training took."""

    steps: int
    tokens: int
    epochs: float
    unread_tokens: int
    seconds: float
    tokens_per_second: float
    share_of_peak: float
    skipped_steps: int
    resumed_from: int
    choices: Choices


def train(training: Training) -> TrainingSummary:
    """Train to the end of the recipe's budget, from the newest checkpoint where there is one.

    `folder` receives `checkpoints/` and `metrics.jsonl`. Raises TrainingError where training can't go on, and
    KeyboardInterrupt, after a checkpoint, where the process was asked to stop.
    """
    settings, loader = training.settings, training.loader
    choices = _choices(training)
    steps = plan_steps(settings, loader.plan.tokens_per_step, choices)
    stable_until = decay_start(settings, steps)
    checkpoints = training.folder / "checkpoints"
    state = TrainState(0, training.model.to(choices.kernels.device), Optimizer(training.model, settings))
    restored = restore(checkpoints, state, training.lineage, steps, stable_until)
    resumed_from = state.step
    if restored:
        print(f"Going on from step {state.step:,} of {steps:,} ({restored.folder.name}).")
    runner = choices.kernels.prepare(training.model)
    interval = checkpoint_interval(settings, choices)
    saved_at, bad_steps = state.step, 0
    started = time.perf_counter() - (state.seconds or choices.setup_seconds)
    tokens = loader.plan.tokens_per_step
    with (
        _metrics(training.folder / "metrics.jsonl", state.step) as record,
        Progress("train", steps * tokens, "tokens") as progress,
        _asked_to_stop() as stop,
    ):
        progress.start_from(state.step * tokens)
        while state.step < steps:
            training.model.train()
            learning_rate = rate(settings, steps, state.step)
            result = run_step(
                runner, state.optimizer, training.objective, loader.batch(state.step), state.carry, choices.kernels,
                state.step, learning_rate,
            )  # fmt: skip
            state.carry = result.carry
            state.step += 1
            bad_steps = 0 if result.finite else bad_steps + 1
            state.skipped_steps += not result.finite
            if bad_steps == SKIPPED_IN_A_ROW:
                raise TrainingError(
                    f"the gradient was not finite in {bad_steps} steps in a row, up to step {state.step}; "
                    "lower train.learning_rate and train.matrix_learning_rate, and run again"
                )
            before, state.seconds = state.seconds, time.perf_counter() - started
            bits_per_byte = result.loss / 0.6931471805599453 / training.bytes_per_token
            record("step", step=state.step, seconds=state.seconds, loss=result.loss, bits_per_byte=bits_per_byte,
                   learning_rate=learning_rate, finite=result.finite)  # fmt: skip
            progress.advance(
                tokens, _detail(training, progress, choices, state.step, steps, result.loss, bits_per_byte)
            )

            training.model.eval()
            if _due(state.step, steps, settings.validations):
                validation = training.validate(training.model)
                record("validation", step=state.step, seconds=state.seconds, bits_per_byte=validation)
                progress.say(f"  step {state.step:,}: validation {validation:.3f} bits per byte")
            for moment in SAMPLE_MOMENTS:
                if before < moment <= state.seconds:
                    text = training.sample(training.model)
                    record("sample", step=state.step, seconds=state.seconds, text=text)
                    progress.say(f"  after {format_seconds(state.seconds)} it writes: {_one_line(text)}")
            if state.step - saved_at >= interval or state.step in (stable_until, steps) or stop.is_set():
                state.seconds = time.perf_counter() - started
                save_checkpoint(checkpoints, state, training.lineage, steps, stable_until)
                saved_at = state.step
            if stop.is_set() and state.step < steps:
                progress.say(f"Stopped at step {state.step:,} of {steps:,}; a checkpoint is written.")
                raise KeyboardInterrupt
    return _summary(training, choices, state, steps, resumed_from, progress)


def _choices(training: Training) -> Choices:
    """The choices saved with the run, or freshly measured ones."""
    path = training.folder / "choices.json"
    if path.is_file():
        return Choices.from_dict(read_json(path))
    choices = calibrate(
        training.settings,
        training.model,
        training.objective,
        training.loader,
        training.validate,
        training.sample,
        print,
    )
    write_json(path, choices.to_dict())
    return choices


def _detail(
    training: Training, progress: Progress, choices: Choices, step: int, steps: int, loss: float, bits_per_byte: float
) -> str:
    share = _share_of_peak(training, choices, progress.speed())
    return f"step {step:,}/{steps:,}  loss {loss:.3f}  {bits_per_byte:.3f} bits/byte  {share:.0%} of peak"


def _share_of_peak(training: Training, choices: Choices, tokens_per_second: float) -> float:
    """Share of the measured matrix peak. Half of the attention is left out: causality masks it."""
    flops_per_token = 3 * (2 * training.count.matrix_parameters + training.count.attention_flops / 2)
    return tokens_per_second * flops_per_token / choices.peak_flops


def _due(step: int, steps: int, times: int) -> bool:
    """Whether the `times` even parts of a run include one that ends at this step."""
    return times > 0 and step * times // steps > (step - 1) * times // steps


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def _metrics(path: Path, step: int) -> Iterator[Callable[..., None]]:
    """Append records to metrics.jsonl, after dropping a torn line and those that a resumed run writes again."""
    kept: list[str] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except ValueError:
                break
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    stream: IO[str]
    with open(path, "a", encoding="utf-8", buffering=1) as stream:

        def record(kind: str, **values: Any) -> None:
            stream.write(json.dumps({"kind": kind, **values}, ensure_ascii=False) + "\n")

        yield record


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set on Ctrl-C or SIGTERM, so that the step at hand is finished and saved. Handlers are put back at the end."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals reach the main thread alone
        return
    handlers = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _summary(
    training: Training, choices: Choices, state: TrainState, steps: int, resumed_from: int, progress: Progress
) -> TrainingSummary:
    tokens = steps * training.loader.plan.tokens_per_step
    speed = progress.speed()
    if training.settings.time and state.seconds > 1.1 * seconds_of(training.settings.time):
        print(
            f"The training took {format_seconds(state.seconds)} instead of {training.settings.time}: the machine "
            "became slower than it was when measured. The number of steps was kept."
        )
    print(
        f"Trained {steps:,} steps on {format_count(tokens)} tokens in {format_seconds(state.seconds)}"
        + (f" (from step {resumed_from:,})" if resumed_from else "")
        + (f"; {state.skipped_steps} steps skipped, their gradient was not finite" if state.skipped_steps else "")
    )
    return TrainingSummary(
        steps=steps,
        tokens=tokens,
        epochs=steps * training.settings.batch_size / training.loader.rows_per_epoch,
        unread_tokens=training.loader.unread_tokens(0),
        seconds=state.seconds,
        tokens_per_second=speed,
        share_of_peak=_share_of_peak(training, choices, speed),
        skipped_steps=state.skipped_steps,
        resumed_from=resumed_from,
        choices=choices,
    )
