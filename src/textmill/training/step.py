"""One optimizer step, and the kernels it runs on."""

import dataclasses
from typing import Any

import torch
from torch import nn

from ..tokens.loader import Batch
from .objectives import Objective
from .optimizers import Optimizer


@dataclasses.dataclass(frozen=True)
class Kernels:
    """How a step is computed: chosen by measuring, and fixed for the whole run. All but `dtype` give the same numbers
    within rounding."""

    device: str
    threads: int
    dtype: str
    attention: str
    micro_batch: int
    compile: bool

    def prepare(self, model: nn.Module) -> nn.Module:
        """The model as these kernels run it. Sets torch's threads and its rounding of denormals for the process."""
        torch.set_num_threads(self.threads)
        # Gradients through freshly zeroed projections are denormal numbers, on which a CPU is ten times slower.
        torch.set_flush_denormal(True)
        model.set_eager_attention(self.attention == "eager")  # type: ignore[operator]
        return torch.compile(model) if self.compile else model  # type: ignore[return-value]

    def __str__(self) -> str:
        compiled = "compiled" if self.compile else "not compiled"
        where = f"{self.threads} threads" if self.device == "cpu" else self.device
        return f"{where}, {self.dtype}, {self.attention} attention, micro-batches of {self.micro_batch}, {compiled}"


@dataclasses.dataclass(frozen=True)
class StepResult:
    """Mean nats per counted target, how many counted, each micro-batch's carry, and whether the gradient was finite (else
    there was no update)."""

    loss: float
    count: int
    carry: list[Any]
    finite: bool


def run_step(
    model: nn.Module,
    optimizer: Optimizer,
    objective: Objective,
    batch: Batch,
    carry: list[Any] | None,
    kernels: Kernels,
    step: int,
    rate: float,
) -> StepResult:
    """Forward and backward over the batch's micro-batches, then one update.

    `carry` holds what the rows of each micro-batch bring along from the step before; None at the start.
    """
    count = objective.count(batch)
    loss = torch.zeros((), device=kernels.device)
    starts = range(0, len(batch.inputs), kernels.micro_batch)
    carried = carry or [None] * len(starts)
    for number, start in enumerate(starts):
        micro_batch = batch.rows(start, start + kernels.micro_batch).to(kernels.device)
        with torch.autocast(kernels.device, torch.bfloat16, enabled=kernels.dtype == "bfloat16"):
            loss_sum, carried[number], _ = objective(model, micro_batch, carried[number])
        (loss_sum / count).backward()
        loss += loss_sum.detach()
    gradients = [parameter.grad for parameter in optimizer.parameters() if parameter.grad is not None]
    finite = bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients)))
    if finite:
        optimizer.step(step, rate)
    optimizer.zero_gradients()
    return StepResult(float(loss) / count, count, carried, finite)
