"""Probabilities that can be believed: a temperature by which a head's outputs are divided, folded into the head's weights.

Guo et al. 2017, "On Calibration of Modern Neural Networks". Nothing else is needed to have it wherever the model is used.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.heads import Head

COLDEST, HOTTEST = 1 / 16, 16.0
HALVINGS = 40  # of the interval in which the temperature lies


def best_temperature(outputs: Tensor, targets: Tensor) -> float:
    """The temperature with which held-out targets are likeliest: of outputs (N, labels), and class numbers (N,) or zeros and
    ones (N, labels). 1 where there are none.

    Targets aren't quite sure, as if each of the N had one more chance to be otherwise (Platt 1999): so a model that was never
    wrong on few texts isn't taken for one that never is.
    """
    if not len(targets):
        return 1.0
    doubt = 1 / (len(targets) + 2)
    outputs = outputs.double()

    def loss(temperature: float) -> float:
        scaled = outputs / temperature
        if targets.dim() == 2:
            return float(F.binary_cross_entropy_with_logits(scaled, targets.double() * (1 - 2 * doubt) + doubt))
        return float(F.cross_entropy(scaled, targets, label_smoothing=doubt))

    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(HALVINGS):  # the loss is convex in 1 / temperature, so it falls towards the best from both sides
        third = (high - low) / 3
        if loss(math.exp(low + third)) <= loss(math.exp(high - third)):
            high -= third
        else:
            low += third
    return math.exp((low + high) / 2)


@torch.no_grad()
def fold(head: Head, temperature: float) -> None:
    """Divide all that the head gives by the temperature, in its last product."""
    for parameter in head.output.parameters():
        parameter.div_(temperature)
