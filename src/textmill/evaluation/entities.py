"""F1 over whole entities, as conlleval counts it: only the same kind at the same words is right."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..score import Score
from ..tokens.tags import Entity
from .bootstrap import BOUNDS

SAMPLES = 2_000
OF_KIND = "F1 of "


def entity_f1(
    wanted: Sequence[Sequence[Entity]], found: Sequence[Sequence[Entity]], signature: Mapping[str, Any]
) -> dict[str, Score]:
    """F1, precision and recall over the entities of all sentences, in which only the same kind at the same place counts, and
    F1 of each kind as `F1 of KIND`; the intervals resample sentences."""
    kinds = sorted({entity.kind for sentence in [*wanted, *found] for entity in sentence})
    counts = {kind: np.zeros((len(wanted), 3)) for kind in kinds}  # right, wanted, found
    for place, (truth, guess) in enumerate(zip(wanted, found, strict=True)):
        parts = (Counter(e.kind for e in {*truth} & {*guess}), Counter(e.kind for e in truth), Counter(e.kind for e in guess))
        for column, part in enumerate(parts):
            for kind, count in part.items():
                counts[kind][place, column] = count
    whole = sum(counts.values(), np.zeros((len(wanted), 3)))
    draws = np.random.default_rng(0).multinomial(len(wanted), np.full(len(wanted), 1 / len(wanted)), size=SAMPLES)
    figures = {"F1": (whole, _f1), "precision": (whole, _precision), "recall": (whole, _recall)}
    figures |= {f"{OF_KIND}{kind}": (each, _f1) for kind, each in counts.items()}
    scores = {}
    for name, (table, of) in figures.items():
        low, high = np.percentile(of(draws @ table), BOUNDS)
        value = float(of(table.sum(axis=0)[None])[0])
        scores[name] = Score(name, value, float(low), float(high), len(wanted), signature=dict(signature))
    return scores


def plain_f1(wanted: Sequence[Sequence[Entity]], found: Sequence[Sequence[Entity]]) -> float:
    """The same F1 as a number alone, without an interval."""
    right = sum(len({*truth} & {*guess}) for truth, guess in zip(wanted, found, strict=True))
    both = sum(map(len, wanted)) + sum(map(len, found))
    return 2 * right / both if both else 0.0


def kind_name(score: str) -> str | None:
    """The kind of entity whose F1 has this name; None where it is another score's."""
    return score.removeprefix(OF_KIND) if score.startswith(OF_KIND) else None


def _f1(sums: Any) -> Any:
    return _share(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _precision(sums: Any) -> Any:
    return _share(sums[:, 0], sums[:, 2])


def _recall(sums: Any) -> Any:
    return _share(sums[:, 0], sums[:, 1])


def _share(part: Any, of: Any) -> Any:
    """0 where there is nothing to have a share of."""
    return np.divide(part, of, out=np.zeros_like(part), where=of > 0)
