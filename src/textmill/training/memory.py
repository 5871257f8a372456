"""How much memory a training takes, computed from its shape, and what would fit where it is too much.

Left out: the process itself and its libraries, which is what `free_bytes` doesn't count as free. docs/experiments.md says how
far the estimate is from what was measured.
"""

import dataclasses
from dataclasses import dataclass

import torch

from ..errors import TrainingError
from ..machine.memory import memory_bytes
from ..models.config import ModelConfig
from ..models.count import activation_bytes, count
from ..models.loss import logit_bytes
from ..models.settings import PRESETS, ModelSettings, resized
from .settings import TrainSettings

GIGABYTE = 1e9


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes at the fullest moment, by what they hold. `weights` counts those that calibration throws away again."""

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    head: int

    @property
    def total(self) -> int:
        return sum(dataclasses.astuple(self))

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value / GIGABYTE:.2f}" for name, value in vars(self).items() if value)
        return f"{self.total / GIGABYTE:.2f} GB ({parts})"


def memory_need(
    config: ModelConfig,
    settings: TrainSettings,
    rows: int,
    dtype: str,
    eager: bool = False,
    recompute: bool = False,
    device: str = "cpu",
) -> MemoryNeed:
    """What training `config` takes with micro-batches of `rows` rows of the whole context."""
    cost, context = count(config), config.context_length
    matrices = cost.matrix_parameters - cost.embedding_parameters  # those of the layers, which Muon steps
    by_adamw = cost.parameters - (matrices if settings.optimizer == "muon" else 0)
    average = 4 * cost.parameters if settings.averaging is not None else 0
    layer = activation_bytes(config, context, dtype, eager, settings.dropout > 0)
    # On the way back come one layer's gradients; where it is computed anew, the layer itself, and one not yet given back.
    kept = 4 * config.width * config.layers + 3 * layer if recompute else layer * (config.layers + 1)
    cast = 2 * cost.matrix_parameters if dtype == "bfloat16" else 0  # the weights in the products' format
    return MemoryNeed(
        weights=8 * cost.parameters - average,
        gradients=4 * cost.parameters,
        optimizer=8 * by_adamw + 4 * (cost.parameters - by_adamw),
        average=average,
        activations=rows * context * (kept + 8 * config.width) + cast,
        head=8 * cost.embedding_parameters + 3 * logit_bytes(device),  # its gradient, made on the way forward, and scaled
    )


def largest_micro_batch(
    config: ModelConfig,
    settings: TrainSettings,
    dtype: str,
    eager: bool,
    recompute: bool,
    available: int,
    device: str = "cpu",
) -> int | None:
    """The largest part of the batch, halved as often as it takes, that fits into `available` bytes; None where none does."""
    rows = settings.micro_batch if isinstance(settings.micro_batch, int) else settings.batch_size
    while memory_need(config, settings, rows, dtype, eager, recompute, device).total > available:
        if settings.micro_batch != "auto" or rows % 2:
            return None
        rows //= 2
    return rows


def refuse_too_large(model: ModelSettings, vocabulary_size: int, settings: TrainSettings, device: torch.device) -> None:
    """Raise TrainingError where the training can't fit into the device's memory, however it is computed."""
    config, available = model.config(vocabulary_size), memory_bytes(device)
    recompute = settings.activation_checkpointing != "off"
    dtype = settings.dtype if settings.dtype != "auto" else "float32" if device.type == "cpu" else "bfloat16"
    eager = settings.attention == "eager"
    if largest_micro_batch(config, settings, dtype, eager, recompute, available, device.type) is not None:
        return
    rows = settings.micro_batch if isinstance(settings.micro_batch, int) else settings.batch_size
    need = memory_need(config, settings, 1 if settings.micro_batch == "auto" else rows, dtype, eager, recompute, device.type)
    raise TrainingError(
        f"this training needs about {need}, and there are {available / GIGABYTE:.2f} GB. "
        + advice(config, settings, dtype, available, device.type)
    )


def advice(config: ModelConfig, settings: TrainSettings, dtype: str, available: int, device: str = "cpu") -> str:
    """What would fit into `available` bytes, as words to put behind the command; the smallest change first."""

    def fits(config: ModelConfig, rows: int, recompute: bool = False) -> bool:
        return memory_need(config, settings, rows, dtype, recompute=recompute, device=device).total <= available

    rows = [part for part in range(settings.batch_size, 0, -1) if settings.batch_size % part == 0]
    fitting = []
    if found := [part for part in rows if fits(config, part)]:
        fitting.append(f"--set train.micro_batch={found[0]}")
    elif found := [part for part in rows if fits(config, part, recompute=True)]:
        fitting.append(f"--set train.micro_batch={found[0]} --set train.activation_checkpointing=on")
    shorter = [config.context_length >> halvings for halvings in range(1, 8) if config.context_length >> halvings >= 8]
    if not fitting and (found := [n for n in shorter if fits(dataclasses.replace(config, context_length=n), 1, True)]):
        fitting.append(f"--set model.context_length={found[0]}")
    presets = {name: resized(config, name) for name in PRESETS}
    parameters = count(config).parameters
    smaller = [name for name, shape in presets.items() if count(shape).parameters < parameters and fits(shape, 1, True)]
    if smaller:
        fitting.append(f"--set model.preset={smaller[-1]}")
    return "What would fit: " + ", or ".join(fitting) if fitting else "Not even the smallest preset would fit: free some memory"
