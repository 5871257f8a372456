"""A running average of the weights, beside those that are trained.

The weights of step t count as t to a power, so the average's age is a fixed share of the training so far (Karras et al.
2023, "Analyzing and Improving the Training Dynamics of Diffusion Models"). It doesn't depend on how long the run will be,
as an exponential average with a fixed half-life would, so a prolonged run has the same average as a long one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

EVERY = 4  # steps between two updates: the average hardly notices, and it costs a quarter


class WeightAverage:
    """The averaged weights of `model`. `share` is their mean age, as a share of the steps so far: above 0, at most 0.5,
    which is the plain mean of all steps."""

    def __init__(self, model: nn.Module, share: float):
        self.parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.power = 1 / share - 2  # weights of t^power have the mean age t / (power + 2)
        self.tensors = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` steps, where it is their turn."""
        if step % EVERY:
            return
        kept = (1 - EVERY / step) ** (self.power + 1)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.tensors.values()), list(self.parameters.values()), 1 - kept)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights by the names of the model's."""
        return self.tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the averaged weights within this context, and its own again after it, to the bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self.parameters.items():
            own = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name].copy_(own)
