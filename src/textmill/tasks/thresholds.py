"""From which probability on a label is answered, chosen on validation texts: below it a text has no such label."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..models.task import HOLDS

FEWEST = 3  # texts with a label and texts without it, from which on a threshold of its own is chosen


def label_thresholds(probabilities: npt.NDArray[np.float64], holds: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """For each label the threshold with the best F1 (Yang 2001's SCut), both (texts, labels); where it stands on too few
    texts, the usual one."""
    chosen = []
    for likely, truth in zip(probabilities.T, holds.T, strict=True):
        few = min(truth.sum(), (~truth).sum()) < FEWEST
        chosen.append(HOLDS if few else _best(_between(likely), functools.partial(_f1, likely, truth), HOLDS))
    return tuple(chosen)


def fit_threshold(confidence: Sequence[float], right: Sequence[bool], outside: Sequence[float]) -> float:
    """How likely the likeliest label must be to be answered, so that the mean of two shares is highest: of texts that fit a
    label, those answered rightly (`confidence` and `right`, one each); of texts that fit none (`outside`), those not answered.
    """
    sure, flags, out = np.array(confidence), np.array(right), np.array(outside)

    def value(bound: float) -> float:
        return float(np.mean(flags & (sure >= bound)) + np.mean(out < bound)) / 2

    return _best(_between(np.concatenate([sure, out])), value, 0.0)


def quantile_threshold(confidence: Sequence[float], share: float) -> float:
    """The threshold that leaves this share of texts that do fit a label without one, where no text is known that fits none."""
    return float(np.quantile(np.array(confidence), share, method="lower"))


def _between(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The places between neighbouring values, and below all: only there a threshold makes a difference."""
    found = np.unique(values)
    return np.concatenate([[found[0] / 2], (found[1:] + found[:-1]) / 2])


def _best(bounds: npt.NDArray[np.float64], value: Callable[[float], float], usual: float) -> float:
    """The bound of the highest value, of equals the one nearest to the usual."""
    return float(max(bounds, key=lambda bound: (round(value(bound), 12), -abs(bound - usual))))


def _f1(likely: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], bound: float) -> float:
    found = likely >= bound
    return float(2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1))
