"""From logits to the next token: greedy, temperature, top-k, top-p, min-p, repetition penalty.

The random number of token t is a function of (seed, t) and of nothing else, so that a request gives the same tokens
whenever it runs, and whatever ran before it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import GenerationError


@dataclass(frozen=True)
class Sampling:
    """How tokens are picked. `temperature` 0 is greedy. The filters apply in the order in which they stand here."""

    repetition_penalty: float = 1.0  # > 1: tokens that stand in the text already are less likely (Keskar et al. 2019)
    temperature: float = 0.8
    top_k: int | None = None  # only the k likeliest tokens
    top_p: float = 0.95  # only the likeliest tokens that together have this probability (Holtzman et al. 2020)
    min_p: float = 0.0  # only tokens at least this likely relative to the likeliest (Nguyen et al. 2024)
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            f"repetition_penalty must be above 0, found {self.repetition_penalty}": self.repetition_penalty > 0,
            f"temperature must be 0 (greedy) or above, found {self.temperature}": self.temperature >= 0,
            f"top_k must be 1 or above, found {self.top_k}": self.top_k is None or self.top_k >= 1,
            f"top_p must be above 0 and at most 1, found {self.top_p}": 0 < self.top_p <= 1,
            f"min_p must be from 0 to below 1, found {self.min_p}": 0 <= self.min_p < 1,
            f"seed must be from 0 to 2**64 - 1, found {self.seed}": 0 <= self.seed < 2**64,
        }
        problems = [problem for problem, holds in checks.items() if not holds]
        if problems:
            raise GenerationError(*problems)


def uniform(seed: int, position: int) -> float:
    """The random number in [0, 1) of token `position` of a request with this seed (Philox, Salmon et al. 2011)."""
    return np.random.Generator(np.random.Philox(key=seed, counter=position)).random()


def probabilities(logits: Tensor, previous: Sequence[int], sampling: Sampling) -> Tensor:
    """The distribution that a token is drawn from: logits (V,) in, probabilities (V,) out, 0 where filtered away."""
    logits = logits.double()
    if sampling.repetition_penalty != 1.0 and len(previous):
        seen = torch.tensor(sorted(set(previous)), device=logits.device)
        penalised = logits[seen]
        logits[seen] = torch.where(
            penalised > 0, penalised / sampling.repetition_penalty, penalised * sampling.repetition_penalty
        )
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).double()
    logits = logits / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(logits):
        kept = torch.full_like(logits, -math.inf)
        best = logits.topk(sampling.top_k).indices
        logits = kept.index_copy(0, best, logits[best])
    distribution = logits.softmax(dim=0)
    if sampling.top_p < 1.0:
        ordered, order = distribution.sort(descending=True, stable=True)
        # A token stays while those before it hold less than top_p: the likeliest one always does.
        outside = order[ordered.cumsum(0) - ordered >= sampling.top_p]
        distribution = distribution.index_fill(0, outside, 0.0)
    if sampling.min_p > 0.0:
        distribution = distribution.where(distribution >= sampling.min_p * distribution.max(), 0.0)
    return distribution / distribution.sum()


def pick(logits: Tensor, previous: Sequence[int], sampling: Sampling, position: int) -> int:
    """The next token, for logits (V,), the tokens before it, and its position in the request's answer."""
    distribution = probabilities(logits, previous, sampling)
    if sampling.temperature == 0:
        return int(distribution.argmax())
    cumulative = distribution.cumsum(0)
    drawn = int(torch.searchsorted(cumulative, uniform(sampling.seed, position) * cumulative[-1], right=True))
    return min(drawn, int(distribution.nonzero()[-1]))
