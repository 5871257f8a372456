"""What a finished training took, and what it says of itself at the end."""

from dataclasses import dataclass

from ..models.count import Count
from ..progress import format_count, format_seconds
from ..score import Figure
from ..tokens.loader import BatchSource
from .checkpoints import TrainState
from .choices import Choices
from .settings import TrainSettings, seconds_of
from .stopping import FinalWeights


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
    clipped_steps: int
    stopped_early: bool
    weights: FinalWeights
    resumed_from: int
    machine: str


def summarise(
    settings: TrainSettings,
    loader: BatchSource,
    count: Count,
    choices: Choices,
    state: TrainState,
    weights: FinalWeights,
    planned: int,
    resumed_from: int,
    figure: Figure,
) -> TrainingSummary:
    """The summary of a training that was to have `planned` steps, printed too."""
    tokens = loader.plan.tokens_before(state.step)
    speed = tokens / max(state.seconds - choices.setup_seconds, 1e-9)
    share = speed * count.needed_training_flops / choices.peak_flops
    if settings.time and state.seconds > 1.1 * seconds_of(settings.time):
        print(
            f"The training took {format_seconds(state.seconds)} instead of {settings.time}: the machine became slower than "
            "it was when measured. The number of steps was kept."
        )
    if state.step <= settings.warmup_steps:
        print(
            f"Only {state.step} steps were done, so within train.warmup_steps = {settings.warmup_steps} the learning rate "
            f"never rose to its peak: train longer, or set train.warmup_steps to {state.step // 10}"
        )
    if state.stopped_early:
        print(
            f"  Stopped early, at step {state.step:,} of {planned:,}: the last {settings.patience} validations were no better "
            f"than that of step {state.best_step:,}."
        )
    print(
        f"  {state.step:,} steps, {format_count(tokens)} tokens in {format_seconds(state.seconds)}: "
        f"{format_count(speed)} tokens/s, {share:.0%} of the machine's matrix peak, all included"
        + (f"; {state.skipped_steps} steps skipped, their gradient was not finite" if state.skipped_steps else "")
        + (f"; the gradient was clipped in {state.clipped_steps:,} of them" if settings.clip_norm is not None else "")
    )
    if weights.validation:
        figures = ", ".join(f"{kind} {value:.4f}" for kind, value in weights.validation.items())
        where = f"the {weights.kind} ones" + (f" (step {weights.step:,})" if weights.kind == "best" else "")
        print(f"  The model's weights are {where}; {figure.name} on held-out excerpts: {figures}")
    return TrainingSummary(
        steps=state.step,
        tokens=tokens,
        epochs=loader.plan.blocks_before(state.step) / loader.rows_per_epoch,
        unread_tokens=loader.unread_tokens(0),
        seconds=state.seconds,
        tokens_per_second=speed,
        share_of_peak=share,
        skipped_steps=state.skipped_steps,
        clipped_steps=state.clipped_steps,
        stopped_early=state.stopped_early,
        weights=weights,
        resumed_from=resumed_from,
        machine=choices.machine,
    )
