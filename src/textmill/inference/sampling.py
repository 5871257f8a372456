"""From logits to the next token: biases and penalties, greedy or temperature, top-k, top-p, min-p, typical.

The random number of token t is a function of (seed, t) and of nothing else, so that a request gives the same tokens
whenever it runs, and whatever ran before it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import GenerationError


@dataclass(frozen=True)
class Sampling:
    """How tokens are picked. `temperature` 0 is greedy. Everything applies in the order in which it stands here."""

    logit_bias: tuple[tuple[int, float], ...] = field(default=(), kw_only=True)  # (token, what is added), -100 to 100
    repetition_penalty: float = 1.0  # > 1: tokens that stand in the text already are less likely (Keskar et al. 2019)
    # Taken from the logit of a token that the answer holds already: once, and once for each time it stands there. The prompt
    # doesn't count. -2 to 2, as in OpenAI's API.
    presence_penalty: float = field(default=0.0, kw_only=True)
    frequency_penalty: float = field(default=0.0, kw_only=True)
    temperature: float = 0.8
    top_k: int | None = None  # only the k likeliest tokens
    top_p: float = 0.95  # only the likeliest tokens that together have this probability (Holtzman et al. 2020)
    min_p: float = 0.0  # only tokens at least this likely relative to the likeliest (Nguyen et al. 2024)
    # Only the tokens whose surprise is nearest to the expected one, that together have this probability (Meister et al. 2023).
    typical_p: float = field(default=1.0, kw_only=True)
    seed: int = 0

    def __post_init__(self) -> None:
        tokens = [token for token, _ in self.logit_bias]
        repeated = sorted({token for token in tokens if tokens.count(token) > 1}) if len(set(tokens)) < len(tokens) else []
        negative = [token for token in tokens if token < 0]
        strong = [f"{bias} for token {token}" for token, bias in self.logit_bias if not -100 <= bias <= 100]
        checks = {
            f"logit_bias takes each token once, found several for {', '.join(map(str, repeated))}": not repeated,
            f"logit_bias takes tokens from 0 on, found {', '.join(map(str, negative))}": not negative,
            f"logit_bias must be from -100 to 100, found {', '.join(strong)}": not strong,
            f"repetition_penalty must be above 0 and finite, found {self.repetition_penalty}": 0
            < self.repetition_penalty
            < math.inf,
            f"presence_penalty must be from -2 to 2, found {self.presence_penalty}": -2 <= self.presence_penalty <= 2,
            f"frequency_penalty must be from -2 to 2, found {self.frequency_penalty}": -2 <= self.frequency_penalty <= 2,
            f"temperature must be 0 (greedy) or above and finite, found {self.temperature}": 0 <= self.temperature < math.inf,
            f"top_k must be 1 or above, found {self.top_k}": self.top_k is None or self.top_k >= 1,
            f"top_p must be above 0 and at most 1, found {self.top_p}": 0 < self.top_p <= 1,
            f"min_p must be from 0 to below 1, found {self.min_p}": 0 <= self.min_p < 1,
            f"typical_p must be above 0 and at most 1, found {self.typical_p}": 0 < self.typical_p <= 1,
            f"seed must be from 0 to 2**64 - 1, found {self.seed}": 0 <= self.seed < 2**64,
        }
        problems = [problem for problem, holds in checks.items() if not holds]
        if problems:
            raise GenerationError(*problems)

    def bias_problems(self, vocabulary_size: int) -> list[str]:
        """What is wrong with `logit_bias` for a model with so many tokens."""
        beyond = [str(token) for token, _ in self.logit_bias if token >= vocabulary_size]
        if not beyond:
            return []
        return [
            f"logit_bias takes tokens below {vocabulary_size}, which is the size of the vocabulary, found {', '.join(beyond)}"
        ]


def uniform(seed: int, position: int) -> float:
    """The random number in [0, 1) of token `position` of a request with this seed (Philox, Salmon et al. 2011)."""
    return np.random.Generator(np.random.Philox(key=seed, counter=position)).random()


def penalised(logits: Tensor, previous: Sequence[int], sampling: Sampling, written: Sequence[int] = ()) -> Tensor:
    """Logits (V,) with biases and penalties, in 64 bits; the same tensor where there are none."""
    if sampling.logit_bias:
        if problems := sampling.bias_problems(len(logits)):
            raise GenerationError(*problems)
        tokens = torch.tensor([token for token, _ in sampling.logit_bias], device=logits.device)
        bias = torch.tensor([bias for _, bias in sampling.logit_bias], dtype=torch.double, device=logits.device)
        logits = logits.double().index_add(0, tokens, bias)
    if sampling.repetition_penalty != 1.0 and len(previous):
        logits = logits.double()
        seen = torch.tensor(previous, device=logits.device).unique()
        before = logits[seen]
        penalty = sampling.repetition_penalty
        logits = logits.index_copy(0, seen, torch.where(before > 0, before / penalty, before * penalty))
    if (sampling.presence_penalty or sampling.frequency_penalty) and len(written):
        held, times = torch.tensor(written, device=logits.device).unique(return_counts=True)
        penalties = sampling.presence_penalty + sampling.frequency_penalty * times.double()
        logits = logits.double().index_add(0, held, -penalties)
    return logits


def probabilities(logits: Tensor, previous: Sequence[int], sampling: Sampling, written: Sequence[int] = ()) -> Tensor:
    """The distribution that a token is drawn from: logits (V,) in, probabilities (V,) out, 0 where filtered away.

    `previous`: the prompt and the answer so far, for the repetition penalty. `written`: the answer so far, for the presence
    and frequency penalties. A logit of -inf forbids its token; at least one must be finite.
    """
    logits = penalised(logits, previous, sampling, written).double()
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).double()
    cooled = logits / sampling.temperature
    if not cooled.max().isfinite():  # the division overflowed: with the likeliest at 0 it can't
        cooled = (logits - logits.max()) / sampling.temperature
    logits = cooled
    if sampling.top_k is not None and sampling.top_k < len(logits):
        kept = torch.full_like(logits, -math.inf)
        best = logits.topk(sampling.top_k).indices
        logits = kept.index_copy(0, best, logits[best])
    distribution = logits.softmax(dim=0)
    if sampling.top_p < 1.0:
        # Tokens below this floor hold less than half of what top_p leaves out: they needn't be sorted.
        likely = distribution >= (1 - sampling.top_p) / (2 * len(distribution))
        distribution = _first_to_reach(sampling.top_p, distribution, -distribution, likely)
    if sampling.min_p > 0.0:
        distribution = distribution.where(distribution >= sampling.min_p * distribution.max(), 0.0)
    if sampling.typical_p < 1.0:
        distribution = distribution / distribution.sum()
        deviation = (-distribution.log() - torch.special.entr(distribution).sum()).abs()
        distribution = _first_to_reach(sampling.typical_p, distribution, deviation, distribution > 0)
    return distribution / distribution.sum()


def _first_to_reach(mass: float, distribution: Tensor, rank: Tensor, candidates: Tensor) -> Tensor:
    """The distribution (V,) of the candidates (V,) lowest in rank (V,) that together reach the mass; 0 elsewhere."""
    indices = candidates.nonzero().flatten()
    order = indices[rank[indices].argsort(stable=True)]
    ordered = distribution[order]
    # A token stays while those before it hold less than the mass: the first one always does.
    stays = ordered.cumsum(0) - ordered < mass
    return torch.zeros_like(distribution).index_copy(0, order[stays], ordered[stays])


def pick(logits: Tensor, previous: Sequence[int], sampling: Sampling, position: int, written: Sequence[int] = ()) -> int:
    """The next token, for logits (V,), the tokens before it, its position in the request's answer, and the answer so far."""
    if sampling.temperature == 0:
        return int(penalised(logits, previous, sampling, written).argmax())
    distribution = probabilities(logits, previous, sampling, written)
    cumulative = distribution.cumsum(0)
    drawn = int(torch.searchsorted(cumulative, uniform(sampling.seed, position) * cumulative[-1], right=True))
    if drawn < len(distribution) and distribution[drawn] > 0:
        return drawn
    return int(distribution.nonzero()[-1])  # rounding went beyond the last token that can be drawn
