"""What a comparison found: each system's figure with its interval, and of each pair whether the difference is noise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import RunError
from ..evaluation.bits_per_byte import UNIT, plain_score
from ..evaluation.scorers import DocumentScore
from ..score import Score
from .intervals import Floats, difference_interval, mean_interval
from .outcome import Outcome
from .plan import Limit

METHOD = "documents by paired bootstrap, seeds by Student's t"


@dataclass(frozen=True)
class System:
    """One line of the table: a recipe over its seeds, or a baseline, which has none."""

    name: str
    score: Score
    values: list[float]
    """Each seed's figure."""
    outcomes: list[Outcome]
    seconds: float
    """Of training, the mean over seeds; of a baseline, what training and scoring took."""

    def mean(self, field: str) -> float | None:
        """The mean over seeds of what the trainings took; None for a baseline."""
        return float(np.mean([getattr(outcome, field) for outcome in self.outcomes])) if self.outcomes else None


@dataclass(frozen=True)
class Difference:
    """How much the first system's figure lies above the second's."""

    first: str
    second: str
    score: Score

    @property
    def noise(self) -> bool | None:
        """Whether the interval holds zero; None where there is no interval."""
        return None if math.isnan(self.score.low) else self.score.low <= 0 <= self.score.high


@dataclass(frozen=True)
class Result:
    """A whole comparison. Systems are ordered from the best to the worst; `failures` are reasons, by the runs' names."""

    limit: Limit
    seeds: int
    systems: list[System]
    differences: list[Difference]
    failures: dict[str, str]
    signature: dict[str, Any]

    @property
    def best(self) -> str:
        """The system with the least bits per byte of those that scored every document."""
        documents = max(system.score.count for system in self.systems)
        return next(system.name for system in self.systems if system.score.count == documents)

    def difference(self, name: str) -> Difference | None:
        """A system's difference to the best; None for the best itself."""
        pairs = {(difference.first, difference.second): difference for difference in self.differences}
        return pairs.get((name, self.best))

    def to_dict(self, root: Path) -> dict[str, Any]:
        """As plain JSON values; folders are written as seen from `root`."""
        return {
            "limit": self.limit.set(),
            "seeds": self.seeds,
            "systems": [
                {
                    "name": system.name,
                    "bits_per_byte": plain_score(system.score),
                    "by_seed": system.values,
                    "seconds": system.seconds,
                    "runs": [outcome.to_dict(root) for outcome in system.outcomes],
                }
                for system in self.systems
            ],
            "best": self.best,
            "differences": [
                {"first": each.first, "second": each.second, "noise": each.noise, **plain_score(each.score)}
                for each in self.differences
            ],
            "failures": self.failures,
            "signature": self.signature,
        }


def compare_outcomes(
    outcomes: Sequence[Outcome], limit: Limit, seeds: int, samples: int, failures: Mapping[str, str]
) -> Result:
    """The figures of all finished runs. Raises RunError where there are none, or where they scored other documents."""
    if not outcomes:
        raise RunError(*(f"{name}: {reason}" for name, reason in failures.items()))
    texts = {outcome.signature["documents_sha256"]: outcome.folder for outcome in outcomes}
    if len(texts) > 1:
        raise RunError(
            f"{' and '.join(map(str, texts.values()))} were judged by different documents; delete one, and run again"
        )
    [documents_sha256] = texts
    signature = {
        "method": METHOD,
        "bootstrap_samples": samples,
        "seed": 0,
        "documents_sha256": documents_sha256,
        "machines": sorted({outcome.machine for outcome in outcomes}),
        "textmill": __version__,
    }
    scores = _by_system(outcomes)
    systems = sorted(
        (_system(name, each, outcomes, samples, signature) for name, each in scores.items()),
        key=lambda system: system.score.value,
    )
    differences = [
        _difference(second, scores[second], first, scores[first], samples, signature)
        for first, second in combinations([system.name for system in systems], 2)
    ]
    return Result(limit, seeds, systems, differences, dict(failures), signature)


Scores = list[list[DocumentScore]]  # of each seed


def _by_system(outcomes: Sequence[Outcome]) -> dict[str, Scores]:
    """Each system's documents, seed by seed. A baseline knows no seeds and is the same in all runs."""
    scores: dict[str, Scores] = {}
    for outcome in outcomes:
        scores.setdefault(outcome.name, []).append(outcome.documents)
    for name, documents in outcomes[0].baselines.items():
        scores[name] = [documents]
    return scores


def _amounts(scores: Scores, identities: Sequence[tuple[str, str]]) -> Floats:
    """Bits of each seed's documents, in the order of `identities`: (seeds, documents)."""
    known = [{(score.source, score.id): score.nats for score in each} for each in scores]
    return np.array([[nats[identity] for identity in identities] for nats in known]) / math.log(2)


def _sizes(scores: Scores, identities: Sequence[tuple[str, str]]) -> Floats:
    sizes = {(score.source, score.id): score.bytes for score in scores[0]}
    return np.array([sizes[identity] for identity in identities], dtype=np.float64)


def _identities(scores: Scores) -> list[tuple[str, str]]:
    return [(score.source, score.id) for score in scores[0]]


def _system(name: str, scores: Scores, outcomes: Sequence[Outcome], samples: int, signature: dict[str, Any]) -> System:
    identities, own = _identities(scores), [outcome for outcome in outcomes if outcome.name == name]
    amounts, sizes = _amounts(scores, identities), _sizes(scores, identities)
    values = amounts.sum(axis=1) / sizes.sum()
    score = Score(
        "bits per byte", float(values.mean()), *mean_interval(amounts, sizes, samples), len(identities), UNIT, signature
    )
    seconds = float(np.mean([o.seconds for o in own])) if own else outcomes[0].baseline_seconds[name]
    return System(name, score, [float(value) for value in values], own, seconds)


def _difference(
    first: str, first_scores: Scores, second: str, second_scores: Scores, samples: int, signature: dict[str, Any]
) -> Difference:
    """Over the documents that both scored: xz scores only some."""
    others = set(_identities(second_scores))
    shared = [identity for identity in _identities(first_scores) if identity in others]
    sizes = _sizes(first_scores, shared)
    ours, theirs = _amounts(first_scores, shared), _amounts(second_scores, shared)
    value = float((ours.mean(axis=0) - theirs.mean(axis=0)).sum() / sizes.sum())
    low, high = difference_interval(ours, theirs, sizes, samples)
    return Difference(first, second, Score(f"{first} less {second}", value, low, high, len(shared), UNIT, signature))
