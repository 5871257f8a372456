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
from ..evaluation.bits_per_byte import plain_score
from ..score import Score
from .intervals import Floats, difference_interval, figures, mean_interval
from .measures import Documents, Measure
from .outcome import Outcome
from .plan import Limit

METHOD = "documents by paired bootstrap, seeds by Student's t"


@dataclass(frozen=True)
class System:
    """One line of a table: a recipe over its seeds, or a baseline, which has none."""

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
    """How much the worse of two systems' figures lies away from the better one's."""

    worse: str
    better: str
    score: Score

    @property
    def noise(self) -> bool | None:
        """Whether the interval holds zero; None where there is no interval."""
        return None if math.isnan(self.score.low) else self.score.low <= 0 <= self.score.high


@dataclass(frozen=True)
class Table:
    """All systems that are compared by one measure, from the best to the worst, and every pair's difference."""

    measure: Measure
    systems: list[System]
    differences: list[Difference]

    @property
    def documents(self) -> int:
        """How many documents they were judged by. A baseline may have scored fewer."""
        return max(system.score.count for system in self.systems)

    @property
    def best(self) -> str:
        """The best system of those that scored every document."""
        return next(system.name for system in self.systems if system.score.count == self.documents)

    def difference(self, name: str) -> Difference | None:
        """How a system differs from the best one; None for the best itself."""
        pairs = {frozenset((difference.worse, difference.better)): difference for difference in self.differences}
        return pairs.get(frozenset((name, self.best)))

    def to_dict(self, root: Path) -> dict[str, Any]:
        """As plain JSON values; folders are written as seen from `root`."""
        return {
            "measure": self.measure.name,
            "systems": [
                {
                    "name": system.name,
                    "score": plain_score(system.score),
                    "by_seed": system.values,
                    "seconds": system.seconds,
                    "runs": [outcome.to_dict(root) for outcome in system.outcomes],
                }
                for system in self.systems
            ],
            "best": self.best,
            "differences": [
                {"worse": each.worse, "better": each.better, "noise": each.noise, **plain_score(each.score)}
                for each in self.differences
            ],
        }


@dataclass(frozen=True)
class Result:
    """A whole comparison: a table for each measure. `failures` are reasons, by the runs' names."""

    limit: Limit
    seeds: int
    tables: list[Table]
    failures: dict[str, str]
    signature: dict[str, Any]

    def to_dict(self, root: Path) -> dict[str, Any]:
        """As plain JSON values; folders are written as seen from `root`."""
        return {
            "limit": self.limit.set(),
            "seeds": self.seeds,
            "tables": [table.to_dict(root) for table in self.tables],
            "failures": self.failures,
            "signature": self.signature,
        }


def compare_outcomes(
    outcomes: Sequence[Outcome], limit: Limit, seeds: int, samples: int, failures: Mapping[str, str]
) -> Result:
    """The figures of all finished runs. Raises RunError where there are none, or where they were judged by other text."""
    if not outcomes:
        raise RunError(*(f"{name}: {reason}" for name, reason in failures.items()))
    texts = {outcome.documents_sha256: outcome.folder for outcome in outcomes}
    if len(texts) > 1:
        raise RunError(f"{' and '.join(map(str, texts.values()))} were judged by other documents; delete one, and run again")
    signature = {
        "method": METHOD,
        "bootstrap_samples": samples,
        "seed": 0,
        "documents_sha256": outcomes[0].documents_sha256,
        "machines": sorted({outcome.machine for outcome in outcomes}),
        "textmill": __version__,
    }
    measures = dict.fromkeys(outcome.measure for outcome in outcomes)
    tables = [_table(m, [o for o in outcomes if o.measure == m], samples, signature) for m in measures]
    return Result(limit, seeds, tables, dict(failures), signature)


def _table(measure: Measure, outcomes: Sequence[Outcome], samples: int, signature: dict[str, Any]) -> Table:
    """Each recipe's documents seed by seed; a baseline knows no seeds and is the same in all runs."""
    documents: dict[str, list[Documents]] = {}
    for outcome in outcomes:
        documents.setdefault(outcome.name, []).append(outcome.documents)
    documents |= {name: [scores] for name, scores in outcomes[0].baselines.items()}
    systems = [_system(measure, name, scores, outcomes, samples, signature) for name, scores in documents.items()]
    systems.sort(key=lambda system: system.score.value, reverse=not measure.lower_is_better)
    names = [system.name for system in systems]
    differences = [
        _difference(measure, worse, documents[worse], better, documents[better], samples, signature)
        for better, worse in combinations(names, 2)
    ]
    return Table(measure, systems, differences)


def _amounts(documents: Sequence[Documents], identities: Sequence[tuple[str, str]]) -> Floats:
    """Each seed's amounts, in the order of `identities`: (seeds, documents)."""
    return np.array([[scores[identity].amount for identity in identities] for scores in documents], dtype=np.float64)


def _sizes(documents: Sequence[Documents], identities: Sequence[tuple[str, str]]) -> Floats:
    return np.array([documents[0][identity].size for identity in identities], dtype=np.float64)


def _system(
    measure: Measure,
    name: str,
    documents: Sequence[Documents],
    outcomes: Sequence[Outcome],
    samples: int,
    signature: dict[str, Any],
) -> System:
    identities, own = list(documents[0]), [outcome for outcome in outcomes if outcome.name == name]
    amounts, sizes = _amounts(documents, identities), _sizes(documents, identities)
    values = figures(amounts, sizes)
    interval = mean_interval(amounts, sizes, samples)
    score = Score(measure.name, float(values.mean()), *interval, len(identities), measure.unit, signature)
    seconds = float(np.mean([each.seconds for each in own])) if own else outcomes[0].baseline_seconds[name]
    return System(name, score, [float(value) for value in values], own, seconds)


def _difference(
    measure: Measure,
    worse: str,
    worse_documents: Sequence[Documents],
    better: str,
    better_documents: Sequence[Documents],
    samples: int,
    signature: dict[str, Any],
) -> Difference:
    """Over the documents that both scored: xz scores only some."""
    shared = [identity for identity in worse_documents[0] if identity in better_documents[0]]
    sizes, others = (_sizes(documents, shared) for documents in (worse_documents, better_documents))
    if not np.array_equal(sizes, others):
        raise RunError(f"{worse} and {better} count the same documents differently, so they can't be compared")
    ours, theirs = _amounts(worse_documents, shared), _amounts(better_documents, shared)
    value = float((ours.mean(axis=0) - theirs.mean(axis=0)).sum() / sizes.sum())
    interval = difference_interval(ours, theirs, sizes, samples)
    name = f"{worse} less {better}"
    return Difference(worse, better, Score(name, value, *interval, len(shared), measure.unit, signature))
