"""How well labels are told: accuracy, F1 and calibration, each as a Score whose interval resamples texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..score import Score
from .bootstrap import BOUNDS, bootstrap_ratio

CALIBRATION_BINS = 15  # of equal width (Guo et al. 2017, "On Calibration of Modern Neural Networks")
SAMPLES = 10_000


def accuracy(right: npt.ArrayLike, signature: Mapping[str, Any]) -> Score:
    """The share of texts whose labels are right, of (N,) bool."""
    flags = np.asarray(right, dtype=np.float64)
    low, high = bootstrap_ratio(flags, np.ones(len(flags)), SAMPLES)
    return Score("accuracy", float(flags.mean()), low, high, len(flags), signature=dict(signature))


def macro_f1(wanted: Sequence[int], found: Sequence[int], classes: int, signature: Mapping[str, Any]) -> Score:
    """The mean over the classes of F1; a class that nothing has and nothing was called counts as 0 (scikit-learn's)."""
    pairs = np.asarray(wanted) * classes + np.asarray(found)
    table = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    value = float(_macro_f1(table[None])[0])
    generator = np.random.default_rng(0)
    tables = generator.multinomial(len(pairs), table.ravel() / len(pairs), size=1_000).reshape(-1, classes, classes)
    low, high = np.percentile(_macro_f1(tables), BOUNDS)
    return Score("macro F1", value, float(low), float(high), len(pairs), signature=dict(signature))


def _macro_f1(tables: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(S,) of tables (S, wanted, found) of counts."""
    right = np.diagonal(tables, axis1=1, axis2=2).astype(np.float64)
    both = tables.sum(axis=1) + tables.sum(axis=2)
    return np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0).mean(axis=1)


def calibration_error(confidence: npt.ArrayLike, right: npt.ArrayLike, signature: Mapping[str, Any]) -> Score:
    """The expected calibration error: how far the share of right answers is from what they were thought likely, (N,) each, in
    bins of equal width, weighed by how many texts each has."""
    sure, flags = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    bins = np.minimum((sure * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.zeros((len(sure), CALIBRATION_BINS))
    gaps[np.arange(len(sure)), bins] = flags - sure
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(len(sure), np.full(len(sure), 1 / len(sure)), size=1_000)
    low, high = np.percentile(np.abs(drawn @ gaps).sum(axis=1) / len(sure), BOUNDS)
    value = float(np.abs(gaps.sum(axis=0)).sum() / len(sure))
    return Score("calibration error", value, float(low), float(high), len(sure), signature=dict(signature))
