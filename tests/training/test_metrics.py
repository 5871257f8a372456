"""metrics.jsonl goes on where the training goes on, is strict JSON, and TensorBoard shows the same numbers."""

import importlib.util
import json
from pathlib import Path

import pytest

from textmill.errors import RecipeError
from textmill.training.metrics import metrics_writer, refuse_missing_tensorboard
from textmill.training.settings import TrainSettings


def lines(folder: Path) -> list[dict]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_resumed_run_drops_what_it_will_write_again(tmp_path: Path) -> None:
    with metrics_writer(tmp_path, 0) as record:
        for step in range(1, 6):
            record("step", step=step, seconds=1.0, loss=float("nan") if step == 2 else 0.5)
        record("weights", step=5, seconds=1.0, chosen="last", bits_per_byte={})
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"kind": "step", "st')  # torn by a power cut
    with metrics_writer(tmp_path, 5) as record:  # at the end, the weights are chosen again
        pass
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]
    assert lines(tmp_path)[1]["loss"] is None
    with metrics_writer(tmp_path, 3) as record:
        record("step", step=4, seconds=2.0, loss=0.25)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]


def test_tensorboard_shows_the_same_numbers_after_a_resume(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with metrics_writer(tmp_path, 0, tensorboard=True) as record:
        for step in range(1, 6):
            record("step", step=step, seconds=1.0, loss=float(step), finite=True)
        record("sample", step=5, seconds=1.0, text="Once")
    with metrics_writer(tmp_path, 3, tensorboard=True) as record:
        record("step", step=4, seconds=1.0, loss=40.0, finite=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = {event.step: event.value for event in events.Scalars("step/loss")}
    assert shown == {line["step"]: line["loss"] for line in lines(tmp_path)} == {1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0}


def test_without_its_package_tensorboard_is_refused_with_the_command(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refuse_missing_tensorboard(TrainSettings(steps=1))
    with pytest.raises(RecipeError, match="pip install tensorboard"):
        refuse_missing_tensorboard(TrainSettings(steps=1, tensorboard=True))
