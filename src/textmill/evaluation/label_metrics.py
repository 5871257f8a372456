"""How well labels are told: accuracy, F1 and calibration, each as a Score whose interval resamples texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..score import Score
from .bootstrap import BOUNDS, DRAWS_AT_ONCE, bootstrap_ratio

CALIBRATION_BINS = 15  # of equal width (Guo et al. 2017, "On Calibration of Modern Neural Networks")
SAMPLES = 10_000


def accuracy(right: npt.ArrayLike, signature: Mapping[str, Any], name: str = "accuracy") -> Score:
    """The share of texts whose labels are right, of (N,) bool; `name` says which texts these are."""
    flags = np.asarray(right, dtype=np.float64)
    low, high = bootstrap_ratio(flags, np.ones(len(flags)), SAMPLES)
    return Score(name, float(flags.mean()), low, high, len(flags), signature=dict(signature))


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


def multi_label_f1(truth: npt.ArrayLike, found: npt.ArrayLike, signature: Mapping[str, Any]) -> tuple[Score, Score]:
    """Micro F1 (over all labels of all texts) and macro F1 (the mean over the labels), of (texts, labels) bool each; a label
    that nothing has and nothing was called counts as 0 (scikit-learn's)."""
    wanted, said = np.asarray(truth, dtype=np.float64), np.asarray(found, dtype=np.float64)
    counts = np.concatenate([wanted * said, wanted + said], axis=1)  # (texts, 2 × labels)
    resampled = _resampled_sums(counts)
    scores = []
    for name, figure in (("micro F1", _micro), ("macro F1", _macro)):
        low, high = np.percentile(figure(resampled), BOUNDS)
        value = float(figure(counts.sum(axis=0)[None])[0])
        scores.append(Score(name, value, float(low), float(high), len(counts), signature=dict(signature)))
    return scores[0], scores[1]


def _micro(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    right, both = np.split(sums, 2, axis=1)
    return np.asarray(2 * right.sum(axis=1) / np.maximum(both.sum(axis=1), 1))


def _macro(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    right, both = np.split(sums, 2, axis=1)
    return np.asarray((2 * right / np.maximum(both, 1)).mean(axis=1))


def calibration_bins(confidence: npt.ArrayLike, right: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(bins, 3) of what was thought this likely: how many, the sum of the confidences, how many were right; (N,) each, in bins
    of equal width."""
    sure, flags = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    bins = _bins(sure)
    parts = [np.bincount(bins, weights, CALIBRATION_BINS) for weights in (None, sure, flags)]
    return np.stack(parts, axis=1).astype(np.float64)


def calibration_error(
    confidence: npt.ArrayLike, right: npt.ArrayLike, signature: Mapping[str, Any], name: str = "calibration error"
) -> Score:
    """The expected calibration error: how far the share of right answers is from what they were thought likely, in bins of
    equal width, weighed by how many each has; of (texts,) or, where each label stands for itself, (texts, labels)."""
    sure, flags = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    texts = len(sure)
    gaps = np.zeros((texts, CALIBRATION_BINS))
    rows = np.arange(texts) if sure.ndim == 1 else np.arange(texts)[:, None]
    np.add.at(gaps, (np.broadcast_to(rows, sure.shape), _bins(sure)), flags - sure)
    value = float(np.abs(gaps.sum(axis=0)).sum() / sure.size)
    low, high = np.percentile(np.abs(_resampled_sums(gaps)).sum(axis=1) / sure.size, BOUNDS)
    return Score(name, value, float(low), float(high), texts, signature=dict(signature))


def _bins(sure: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.minimum((sure * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _resampled_sums(values: npt.NDArray[np.float64], samples: int = 1_000) -> npt.NDArray[np.float64]:
    """The sums (samples, K) of values (texts, K) over texts that are drawn again."""
    generator, texts = np.random.default_rng(0), len(values)
    rows = max(1, DRAWS_AT_ONCE // texts)
    chances = np.full(texts, 1 / texts)
    drawn = (generator.multinomial(texts, chances, size=min(rows, samples - start)) for start in range(0, samples, rows))
    return np.concatenate([counts @ values for counts in drawn])
