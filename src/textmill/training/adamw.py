"""AdamW (Loshchilov & Hutter 2019) by torch's fused kernel: what torch.optim.AdamW(fused=True) does, to the bit.

Without torch.optim, whose optimizers load torch's compiler when they are made: that takes a second and a half, in which a
short training learns most of what it will.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class AdamWParameter:
    """A parameter, its peak learning rate and its decoupled weight decay. `state` holds `step`, `exp_avg` and `exp_avg_sq` from
    its first step on."""

    parameter: nn.Parameter
    peak: float
    weight_decay: float
    state: dict[str, Tensor] = field(default_factory=dict)


class AdamW:
    """Steps parameters from their gradients; one without a gradient stays as it is."""

    def __init__(self, parameters: Iterable[AdamWParameter], betas: tuple[float, float], epsilon: float):
        self.betas, self.epsilon = betas, epsilon
        self._groups: dict[tuple[float, float], list[AdamWParameter]] = {}  # one call of the kernel steps a whole group
        for each in parameters:
            self._groups.setdefault((each.peak, each.weight_decay), []).append(each)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update; `rate` is the schedule's factor of each peak."""
        for (peak, weight_decay), group in self._groups.items():
            stepped = [each for each in group if each.parameter.grad is not None]
            for each in stepped:
                if not each.state:
                    each.state["step"] = torch.zeros((), dtype=torch.float32, device=each.parameter.device)
                    each.state |= {name: torch.zeros_like(each.parameter) for name in ("exp_avg", "exp_avg_sq")}
            if stepped:
                torch._foreach_add_([each.state["step"] for each in stepped], 1)
                torch._fused_adamw_(
                    [each.parameter for each in stepped],
                    [each.parameter.grad for each in stepped],  # type: ignore[misc]
                    [each.state["exp_avg"] for each in stepped],
                    [each.state["exp_avg_sq"] for each in stepped],
                    [],
                    [each.state["step"] for each in stepped],
                    lr=peak * rate,
                    beta1=self.betas[0],
                    beta2=self.betas[1],
                    weight_decay=weight_decay,
                    eps=self.epsilon,
                    amsgrad=False,
                    maximize=False,
                )
