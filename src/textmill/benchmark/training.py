"""Training steps at three sizes: the training loop's own step, on random tokens, which cost what real ones do."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch

from ..machine.cores import usable_cores
from ..machine.device import synchronize
from ..models.architectures import build
from ..models.count import count
from ..models.decoder import DecoderConfig
from ..models.settings import ModelSettings
from ..native.library import NoKernels
from ..native.probe import training_tried
from ..tokens.loader import Batch
from ..training.objectives import CausalObjective
from ..training.optimizers import Optimizer
from ..training.settings import TrainSettings
from ..training.step import Kernels, run_step
from .measurement import Case, Group

SIZES = {"3m": (8, 256, 4096), "12m": (8, 256, 8192), "30m": (2, 512, 8192)}  # rows, context, vocabulary
SETUP = 30e-9  # seconds, usually, for a parameter


def groups(device: torch.device) -> Iterator[Group]:
    """A step of each size; one model after the other is built, when its turn comes."""
    for preset, (rows, context, vocabulary) in SIZES.items():
        shape = ModelSettings(preset=preset, context_length=context).config(vocabulary)
        assert isinstance(shape, DecoderConfig)
        name = f"{preset}, {rows} × {context}"
        yield Group("training", (name,), SETUP * count(shape).parameters, partial(_steps, name, shape, rows, device))


def _steps(name: str, shape: DecoderConfig, rows: int, device: torch.device) -> Iterator[Case]:
    yield step(name, shape, rows, device)


def step(
    name: str,
    shape: DecoderConfig,
    rows: int,
    device: torch.device,
    compile: bool = False,
    optimizer: Literal["muon", "adamw"] = "muon",
) -> Case:
    """One step of `rows` rows as long as the shape's context: forward, backward, update, with the recipe's defaults."""
    settings, context = TrainSettings(steps=1, optimizer=optimizer), shape.context_length
    dtype = "bfloat16" if device.type == "cuda" else "float32"
    native = "torch"
    if device.type == "cpu":
        with contextlib.suppress(NoKernels):
            native = training_tried()
    kernels = Kernels(device.type, usable_cores(), dtype, "fused", rows, compile, native=native)
    model = build(shape)
    model.initialise(0)
    model.to(device).train()
    runner, updates, objective = kernels.prepare(model), Optimizer(model, settings), CausalObjective()
    tokens = torch.randint(shape.vocabulary_size, (rows, context + 1), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    places, none = torch.arange(context).expand(rows, -1).contiguous(), torch.zeros(rows, dtype=torch.bool)
    batch = Batch(inputs, targets, places, None, none.int(), none, targets.numel())

    def run() -> None:
        run_step(runner, updates, objective, batch, None, kernels, 0, rate=0.1)
        synchronize(device)

    operations = count(shape).needed_training_flops * batch.tokens  # the model's own: the optimizer's come on top
    return Case("training", name, "tokens/s", run, batch.tokens, operations, dtype)
