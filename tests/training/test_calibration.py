"""What is chosen before the first step: as remembered, by memory, by compiling's price; a compiler that hangs harms nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import textmill.training.calibration as calibration
import textmill.training.compiling as compiling
from textmill.errors import TrainingError
from textmill.machine.profile import remember
from textmill.models.decoder import DecoderConfig
from textmill.tokens.plans import BlockPlan
from textmill.training.calibration import calibrate
from textmill.training.choices import Choices, validations
from textmill.training.compiling import consider_compiling, measure_apart
from textmill.training.objectives import CausalObjective
from textmill.training.settings import TrainSettings
from textmill.training.step import Kernels

KERNELS = Kernels("cpu", threads=1, dtype="float32", attention="fused", micro_batch=4, compile=False)
CONFIG = DecoderConfig(512, 32, layers=1, width=32, heads=2, key_value_heads=2, head_dim=16, feed_forward_width=64)


class Loader:
    """Random tokens."""

    def __init__(self, batch_size: int):
        self.plan = BlockPlan(32, batch_size)

    def batch(self, step: int):
        from textmill.tokens.loader import Batch

        rows = self.plan.batch_size
        tokens = torch.randint(512, (rows, 33), generator=torch.Generator().manual_seed(step))
        positions = torch.arange(32).expand(rows, -1)
        none = torch.zeros(rows, dtype=torch.bool)
        return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), positions, None, none, none, rows * 32)


def choose(make_decoder, folder: Path, **settings: object) -> Choices:
    model = make_decoder(context_length=32, layers=4, width=32)
    chosen = TrainSettings(steps=3, batch_size=4, **settings)
    return calibrate(chosen, model, CausalObjective(), Loader(4), lambda m: 1.0, lambda m: "", folder, {})


def test_what_was_chosen_once_is_chosen_again(make_decoder, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(calibration.Neighbours, "crowded", lambda self: False)
    first = choose(make_decoder, tmp_path, weight_decay=0.3)
    again = choose(make_decoder, tmp_path, weight_decay=0.4)  # costs no time, so it is the same choice
    assert again.kernels == first.kernels
    assert any(reason.startswith("as measured on this machine before") for reason in again.reasons)
    other = choose(make_decoder, tmp_path, dropout=0.1)
    assert not any(reason.startswith("as measured") for reason in other.reasons)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device may have it")
def test_a_kernel_that_is_not_here_is_told_without_advice_on_memory(make_decoder, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"^train.attention: torch's cudnn kernel doesn't work here \(.+\); write auto"
    ) as told:
        choose(make_decoder, tmp_path, attention="cudnn")
    assert "GB" not in str(told.value)


def test_layers_are_computed_twice_only_where_memory_demands_it(make_decoder, tmp_path: Path, monkeypatch) -> None:
    assert not choose(make_decoder, tmp_path, dropout=0.2).kernels.activation_checkpointing
    config = make_decoder(context_length=32, layers=4, width=32).config
    settings = TrainSettings(steps=3, batch_size=4, dropout=0.3)
    need = {r: calibration.memory_need(config, settings, 1, "float32", False, r).total for r in (False, True)}
    monkeypatch.setattr(calibration, "free_bytes", lambda device: (need[False] + need[True]) // 2)
    tight = choose(make_decoder, tmp_path, dropout=0.3)
    assert tight.kernels.activation_checkpointing and tight.kernels.micro_batch in (1, 2, 4)
    assert any("GB are free" in reason for reason in tight.reasons)


@pytest.mark.parametrize("expected, wanted", [(1000.0, True), (300.0, False)])
def test_compiling_is_weighed_with_what_was_measured(expected: float, wanted: bool) -> None:
    plan, settings, reasons = BlockPlan(32, 4), TrainSettings(steps=1), []
    key = compiling.profile_key(KERNELS, CONFIG, plan)
    remember(key, {"plain": 0.5, "compiled": 0.4, "cost": 90.0}, noisy=False)
    kernels, seconds = consider_compiling(KERNELS, 0.5, expected, settings, plan, CONFIG, CausalObjective(), reasons)
    assert kernels.compile == wanted and seconds == pytest.approx(0.4 if wanted else 0.5)
    assert f"saves {0.2 * expected:.0f} s" in reasons[-1] and "90 s of compiling" in reasons[-1]


def test_a_short_run_does_not_try() -> None:
    reasons: list[str] = []
    kernels, _ = consider_compiling(
        KERNELS, 0.5, 60.0, TrainSettings(steps=1), BlockPlan(32, 8), CONFIG, CausalObjective(), reasons
    )
    assert not kernels.compile and reasons[-1].startswith("compile: not tried")


def test_a_compiler_that_fails_or_never_answers_is_left_behind(monkeypatch) -> None:
    failed = measure_apart(
        Kernels("no-such-device", 1, "float32", "fused", 4, False),
        TrainSettings(steps=1),
        CONFIG,
        BlockPlan(32, 4),
        CausalObjective(),
        120,
    )
    assert "failed" in failed and "no-such-device" in failed["failed"]
    assert "waited" not in failed
    late = measure_apart(KERNELS, TrainSettings(steps=1), CONFIG, BlockPlan(32, 4), CausalObjective(), timeout=0.01)
    assert "no answer" in late["failed"] and late["waited"] == 0.01


def test_a_step_that_runs_out_of_memory_is_answered_with_what_would_fit(make_decoder, tmp_path: Path, monkeypatch) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(calibration, "run_step", run_out)
    monkeypatch.setattr("textmill.training.memory.logit_bytes", lambda device: 0)  # most of what so small a model takes
    with pytest.raises(TrainingError, match=r"can't allocate memory.*What would fit: --set train\.micro_batch=[12]\b"):
        choose(make_decoder, tmp_path, dropout=0.4, micro_batch=4)


def test_a_number_format_that_is_only_imitated_is_not_even_tried(make_decoder, tmp_path: Path) -> None:
    remember("flops/cpu/float32", 1e11, noisy=False)
    remember("flops/cpu/bfloat16", 1e9, noisy=False)
    slow = choose(make_decoder, tmp_path, dropout=0.41)
    assert slow.kernels.dtype == "float32"
    assert any("bfloat16: not tried, its products run at 1 GFLOP/s" in reason for reason in slow.reasons)
    remember("flops/cpu/bfloat16", 2e11, noisy=False)
    assert any("s a step" in reason and "bfloat16" in reason for reason in choose(make_decoder, tmp_path, dropout=0.42).reasons)


@pytest.mark.parametrize("seconds, expected", [(0.1, 8), (0.25, 4), (4.0, 1), (6.0, 0)])
def test_a_short_budget_is_not_spent_on_validation(make_decoder, tmp_path: Path, seconds: float, expected: int) -> None:
    choices = replace(choose(make_decoder, tmp_path, dropout=0.43), validation_seconds=seconds)
    assert validations(TrainSettings(time="20s", validations=8), choices) == expected
