"""The optimizer: Muon for the matrices of the layers, AdamW for embedding, head and norms.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces a matrix's momentum by the nearest
orthogonal matrix, so that all its directions are learnt at one speed. Matrices of one shape are stepped as one stack.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.count import is_matrix
from ..native.training import TrainingOperations
from .adamw import AdamW, AdamWParameter
from .settings import TrainSettings

# Three steps that push every singular value of at least a hundredth of the norm towards 1, by the method of Amsel et al. 2025,
# "The Polar Express": five push smaller ones, too, for more work, and what was tried learnt no more (docs/experiments.md).
POLAR_EXPRESS = torch.tensor((
    (8.093368512548258, -23.620430328824273, 17.446151749836247),
    (3.636585554259042, -2.721926746608909, 0.5365462883273615),
    (2.6612999857771023, -1.9771545218846311, 0.4526164069964035),
))  # fmt: skip
MOMENTUM_START, MOMENTUM_END, MOMENTUM_STEPS = 0.85, 0.95, 300
MATRIX_LEARNING_RATES = {"muon": 0.03, "adamw": 0.003}
ADAM_BETAS = (0.8, 0.95)
ADAM_EPSILON = 1e-10  # gradients are means over a batch and can be tiny; torch's 1e-8 would drown them


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Of each matrix in (n, rows, columns) roughly U·Vᵀ, where U·S·Vᵀ is its singular value decomposition; by products in
    `dtype`, of which bfloat16 is exact enough."""
    wide = matrices.size(-2) <= matrices.size(-1)
    x = matrices if wide else matrices.mT
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-7)).to(dtype)
    for a, b, c in POLAR_EXPRESS.tolist():
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.mT


@dataclass
class MatrixStack:
    """Matrices of one shape and their shared momentum buffer, (n, rows, columns). Only `gather` and `scatter` know where the
    matrices are; between them is the update."""

    names: list[str]
    parameters: list[nn.Parameter]
    momentum: Tensor
    factor: float = 1.0  # of the matrices' learning rate

    def gather(self) -> Tensor:
        """The matrices' gradients, (n, rows, columns)."""
        return torch.stack([parameter.grad for parameter in self.parameters])  # type: ignore[misc]

    def scatter(self, updates: Tensor, kept: float, rate: float) -> None:
        """Take `rate` times each update (n, rows, columns) from `kept` times its matrix."""
        for parameter, update in zip(self.parameters, updates):
            parameter.mul_(kept).sub_(update, alpha=rate)


class Optimizer:
    """Steps a model's parameters from their gradients. `state` and `load` give and take all that it remembers.

    `factors` of the learning rate by the parameters' names, 1 where there is none. What needs no gradient isn't stepped.
    """

    def __init__(self, model: nn.Module, settings: TrainSettings, factors: Mapping[str, float] | None = None):
        self.settings, factors = settings, factors or {}
        self.matrix_learning_rate = settings.matrix_learning_rate or MATRIX_LEARNING_RATES[settings.optimizer]
        parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        matrices = {name: p for name, p in parameters.items() if p.dim() == 2 and is_matrix(name)}
        alike: dict[tuple[torch.Size, float], list[str]] = {}
        if settings.optimizer == "muon":
            for name, parameter in matrices.items():
                alike.setdefault((parameter.shape, factors.get(name, 1.0)), []).append(name)
        self.stacks = [
            MatrixStack(
                names,
                [parameters[name] for name in names],
                torch.zeros(len(names), *shape, device=parameters[names[0]].device),
                factor,
            )
            for (shape, factor), names in alike.items()
        ]
        by_muon = {name for stack in self.stacks for name in stack.names}
        embedding_decay = settings.embedding_weight_decay
        decays = {
            "matrix": settings.weight_decay,
            "embedding": settings.weight_decay if embedding_decay is None else embedding_decay,
            "norm": settings.norm_weight_decay,
        }
        self.others: dict[str, AdamWParameter] = {}
        for name, parameter in parameters.items():
            if name in by_muon:
                continue
            kind = "matrix" if name in matrices else "norm" if parameter.dim() == 1 else "embedding"
            peak = self.matrix_learning_rate if kind == "matrix" else settings.embedding_learning_rate
            self.others[name] = AdamWParameter(parameter, peak * factors.get(name, 1.0), decays[kind])
        self.adamw = AdamW(self.others.values(), ADAM_BETAS, ADAM_EPSILON)

    def step(self, step: int, rate: float, fused: TrainingOperations | None = None) -> None:
        """One update, with the help of `fused` where there is some. `step` counts from 0; `rate` is the schedule's factor."""
        self.adamw.step(rate)
        for other in self.others.values():
            self._shrink([other.parameter], other.peak * rate)
        warm = min(1.0, step / MOMENTUM_STEPS)
        momentum = MOMENTUM_START + (MOMENTUM_END - MOMENTUM_START) * warm
        for stack in self.stacks:
            self._step_stack(stack, momentum, self.matrix_learning_rate * stack.factor * rate, fused)

    @torch.no_grad()
    def _step_stack(self, stack: MatrixStack, momentum: float, learning_rate: float, fused: TrainingOperations | None) -> None:
        gradients = stack.gather()
        stack.momentum.lerp_(gradients, 1 - momentum)
        updates = gradients.lerp_(stack.momentum, momentum)  # Nesterov's look ahead
        if fused is None or not fused.orthogonalise(updates, POLAR_EXPRESS):
            # A GPU multiplies float32 a tenth as fast, without which Muon would take longer than the step.
            updates = orthogonalise(updates, torch.bfloat16 if updates.is_cuda else torch.float32)
        rows, columns = updates.shape[-2:]
        # An orthogonal update of a tall matrix is smaller per output than that of a square one.
        scaled = learning_rate * max(1.0, rows / columns) ** 0.5
        stack.scatter(updates, 1 - learning_rate * self.settings.weight_decay, scaled)
        self._shrink(stack.parameters, learning_rate)

    @torch.no_grad()
    def _shrink(self, parameters: list[nn.Parameter], learning_rate: float) -> None:
        """The soft threshold of decoupled L1: towards zero by a fixed amount, and not beyond."""
        if self.settings.l1:
            for parameter in parameters:
                if parameter.dim() > 1:
                    parameter.copy_(torch.nn.functional.softshrink(parameter, learning_rate * self.settings.l1))

    def parameters(self) -> list[nn.Parameter]:
        """All that is optimised."""
        of_muon = (parameter for stack in self.stacks for parameter in stack.parameters)
        return [*(other.parameter for other in self.others.values()), *of_muon]

    def zero_gradients(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """All that the optimizer remembers, one tensor a name."""
        tensors = {}
        for stack in self.stacks:
            for name, momentum in zip(stack.names, stack.momentum):
                tensors[f"muon.momentum.{name}"] = momentum
        for name, other in self.others.items():
            for key, value in other.state.items():
                tensors[f"adamw.{key}.{name}"] = value
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for stack in self.stacks:
            stack.momentum.copy_(torch.stack([tensors[f"muon.momentum.{name}"] for name in stack.names]))
        for name, other in self.others.items():
            keys = ("step", "exp_avg", "exp_avg_sq")
            found = {key: tensors.get(f"adamw.{key}.{name}") for key in keys}
            if found["step"] is not None:  # absent before the first step
                other.state = {
                    key: value.to(other.parameter.device, copy=True) for key, value in found.items() if value is not None
                }
