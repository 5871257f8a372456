"""Too large is said before the run, with what would fit; and what is said to fit does by the same count."""

import re

import pytest
import torch

import textmill.training.memory as memory
from textmill.errors import TrainingError
from textmill.models.settings import ModelSettings
from textmill.training.memory import largest_micro_batch, memory_need, refuse_too_large
from textmill.training.settings import TrainSettings

CPU = torch.device("cpu")


def refused(monkeypatch, available: float, model: dict, **settings: object) -> str:
    monkeypatch.setattr(memory, "memory_bytes", lambda device: int(available))
    with pytest.raises(TrainingError) as error:
        refuse_too_large(ModelSettings(**model), 8192, TrainSettings(steps=1, **settings), CPU)
    return str(error.value)


def test_more_of_anything_needs_more() -> None:
    config = ModelSettings(preset="3m").config(8192)
    plain = memory_need(config, TrainSettings(steps=1), 4, "float32")
    assert memory_need(config, TrainSettings(steps=1), 8, "float32").activations > 1.9 * plain.activations
    assert memory_need(config, TrainSettings(steps=1), 4, "bfloat16").activations < plain.activations
    assert memory_need(config, TrainSettings(steps=1), 4, "float32", recompute=True).activations < plain.activations
    assert memory_need(config, TrainSettings(steps=1, optimizer="adamw"), 4, "float32").optimizer > plain.optimizer
    assert memory_need(config, TrainSettings(steps=1, averaging=0.1), 4, "float32").average == plain.gradients


def test_a_model_that_fits_nowhere_is_refused_with_the_largest_that_fits(monkeypatch) -> None:
    message = refused(monkeypatch, 2e9, {"preset": "1b"})
    preset = re.search(r"--set model.preset=(\S+)", message)[1]
    assert "2.00 GB" in message and preset in ("30m", "60m", "85m")
    refuse_too_large(ModelSettings(preset=preset), 8192, TrainSettings(steps=1), CPU)


def test_settings_that_stand_in_the_way_are_named_with_values_that_fit(monkeypatch) -> None:
    model = {"preset": "3m", "context_length": 16384}
    message = refused(monkeypatch, 1.5e9, model, micro_batch=16, activation_checkpointing="off")
    found = dict(re.findall(r"--set train\.(\w+)=(\w+)", message))
    assert found["activation_checkpointing"] == "on"
    changed = TrainSettings(steps=1, micro_batch=int(found["micro_batch"]), activation_checkpointing="on")
    refuse_too_large(ModelSettings(**model), 8192, changed, CPU)
    refuse_too_large(ModelSettings(**model), 8192, TrainSettings(steps=1), CPU)  # left open, it finds its way itself


def test_micro_batches_shrink_until_they_fit() -> None:
    config = ModelSettings(preset="3m", context_length=512).config(8192)
    settings = TrainSettings(steps=1, batch_size=64)
    need = {rows: memory_need(config, settings, rows, "float32").total for rows in (64, 32, 16, 1)}
    assert largest_micro_batch(config, settings, "float32", False, False, need[64]) == 64
    assert largest_micro_batch(config, settings, "float32", False, False, need[64] - 1) == 32
    assert largest_micro_batch(config, settings, "float32", False, False, need[16]) == 16
    assert largest_micro_batch(config, settings, "float32", False, False, need[1] - 1) is None


def test_nothing_fits_into_nothing(monkeypatch) -> None:
    assert "Not even the smallest preset" in refused(monkeypatch, 1e6, {"preset": "3m"})
