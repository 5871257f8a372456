"""One optimizer step, and the kernels it runs on."""

import dataclasses
import math

import torch
from torch import Tensor, nn

from ..machine.memory import keep_freed
from ..models.attention import FLEXIBLE, KERNELS
from ..native.training import operations
from ..tokens.loader import Batch
from .compiled_loss import CompiledLoss
from .objectives import Objective
from .optimizers import Optimizer


@dataclasses.dataclass(frozen=True)
class Kernels:
    """How a step is computed: chosen by measuring, and fixed for the whole run. All but `dtype` give the same numbers
    within rounding. `attention` is fused, eager, one of torch's KERNELS, FLEXIBLE or, for a model without any, none; `native`
    names the instruction set of the C++ kernels that do what they can (native/training.py), or is torch."""

    device: str
    threads: int
    dtype: str
    attention: str
    micro_batch: int
    compile: bool
    activation_checkpointing: bool = False
    native: str = "torch"

    def prepare(self, model: nn.Module, forgiving: bool = False) -> nn.Module:
        """The model as these kernels run it. Sets torch's threads, its rounding of denormals and what becomes of freed memory
        for the process.

        Layers are compiled each for itself, since those that are alike share what was compiled; so is the loss where nothing
        else makes it in few passes. Where compiling fails, a `forgiving` one runs uncompiled.
        """
        torch.set_num_threads(self.threads)
        # Gradients through freshly zeroed projections are denormal numbers, on which a CPU is ten times slower.
        torch.set_flush_denormal(True)
        keep_freed()
        model.set_eager_attention(self.attention == "eager")  # type: ignore[operator]
        model.set_attention_kernel(self.attention if self.attention in (*KERNELS, FLEXIBLE) else "fused")  # type: ignore[operator]
        model.set_activation_checkpointing(self.activation_checkpointing)  # type: ignore[operator]
        model.set_fused(None if self.compile else operations(self.native))  # type: ignore[operator]
        model.set_compiled_layers(torch.compile if self.compile else None)  # type: ignore[operator]
        if self.compile:
            torch._dynamo.config.suppress_errors = forgiving
            model.fused = operations(self.native) or CompiledLoss()  # type: ignore[assignment]
        return model

    def __str__(self) -> str:
        compiled = "compiled" if self.compile else "not compiled"
        where = f"{self.threads} {'thread' if self.threads == 1 else 'threads'}" if self.device == "cpu" else self.device
        recomputed = ", activations computed twice" if self.activation_checkpointing else ""
        attention = "" if self.attention == "none" else f"{self.attention} attention, "
        native = "" if self.native == "torch" else f", C++ kernels ({self.native})"
        return f"{where}, {self.dtype}, {attention}micro-batches of {self.micro_batch}, {compiled}{recomputed}{native}"


@dataclasses.dataclass(frozen=True)
class StepResult:
    """Mean nats per counted target, without what the objective adds to them; how many counted; what the rows carry on.

    `gradient_norm` is the global norm before it was `clipped`; where it isn't `finite` there was no update.
    """

    loss: float
    count: int
    carry: Tensor | None
    gradient_norm: float
    clipped: bool

    @property
    def finite(self) -> bool:
        return math.isfinite(self.gradient_norm)


def run_step(
    model: nn.Module,
    optimizer: Optimizer,
    objective: Objective,
    batch: Batch,
    carry: Tensor | None,
    kernels: Kernels,
    step: int,
    rate: float,
) -> StepResult:
    """Forward and backward over the batch's micro-batches, then one update.

    `carry` (B, …) is what the rows bring along from the step before; None at the start, and where nothing is carried.
    """
    batch = objective.prepare(batch, step)
    count = objective.count(batch)
    nats = torch.zeros((), device=kernels.device)
    rows = kernels.micro_batch * batch.pieces
    starts = range(0, len(batch.inputs), rows)
    if carry is not None and len(carry) != len(batch.inputs):
        carry = None  # another size of batch begins, in which no row goes on
    carried = []
    for start in starts:
        micro_batch = batch.rows(start, start + rows).to(kernels.device)
        with torch.autocast(kernels.device, torch.bfloat16, enabled=kernels.dtype == "bfloat16"):
            before = None if carry is None else carry[start : start + rows]
            loss_sum, after, metrics = objective(model, micro_batch, before)
        (loss_sum / count).backward()
        nats += metrics["nats"]
        carried += [] if after is None else [after]
    gradients = [parameter.grad for parameter in optimizer.parameters() if parameter.grad is not None]
    # The one place in a step where a GPU is waited for.
    norm, total = torch.stack([torch.nn.utils.get_total_norm(gradients), nats]).tolist()
    limit = optimizer.settings.clip_norm
    clipped = False
    if math.isfinite(norm):
        if limit is not None and norm > limit:
            torch._foreach_mul_(gradients, limit / norm)
            clipped = True
        optimizer.step(step, rate, operations(kernels.native))
    optimizer.zero_gradients()
    carries = carried and math.isfinite(norm)  # what isn't finite would never leave a carried state again
    return StepResult(total / count, count, torch.cat(carried) if carries else None, norm, clipped)
