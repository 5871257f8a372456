"""How far a figure could have come out otherwise: 95 % intervals by resampling whole documents.

Words within a document aren't independent, so the document is the unit (percentile bootstrap, Efron & Tibshirani 1993).
With fewer than some twenty documents such an interval is known to be too narrow.
"""

import math

import numpy as np
import numpy.typing as npt

BOUNDS = (2.5, 97.5)  # percentiles: a 95 % interval
DRAWS_AT_ONCE = 1 << 20  # documents drawn in one step, which bounds the memory


def bootstrap_ratio(
    numerators: npt.ArrayLike, denominators: npt.ArrayLike, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of `sum(numerators) / sum(denominators)`, one pair of numbers a document: (low, high).

    One document says nothing of how documents differ, so its interval is (nan, nan). Raises ValueError where the two
    differ in length, are empty, or a denominator isn't positive.
    """
    upper, lower = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if upper.ndim != 1 or upper.shape != lower.shape or not len(upper):
        raise ValueError(f"one numerator and denominator a document are needed, got {upper.shape} and {lower.shape}")
    if not (lower > 0).all():
        raise ValueError("every denominator must be positive")
    low, high = np.percentile(resampled_ratios(upper[None], lower, samples, seed), BOUNDS)
    return float(low), float(high)


def resampled_ratios(
    numerators: npt.NDArray[np.float64], denominators: npt.NDArray[np.float64], samples: int, seed: int = 0
) -> npt.NDArray[np.float64]:
    """What `sum(numerators) / sum(denominators)` comes to over documents drawn again: (systems, samples).

    `numerators` (systems, documents) share the `denominators` (documents,), all positive; every system is resampled with the
    same draws. All are nan for one document.
    """
    systems, documents = numerators.shape
    ratios = np.full((systems, samples), np.nan)
    if documents == 1:
        return ratios
    generator = np.random.default_rng(seed)
    rows = max(1, DRAWS_AT_ONCE // documents)
    for start in range(0, samples, rows):
        stop = min(start + rows, samples)
        drawn = generator.integers(0, documents, size=(stop - start, documents))
        below = denominators[drawn].sum(axis=1)
        for system, values in enumerate(numerators):
            ratios[system, start:stop] = values[drawn].sum(axis=1) / below
    return ratios


def paired_bootstrap(
    nats: npt.ArrayLike, other_nats: npt.ArrayLike, byte_counts: npt.ArrayLike, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of how many bits per byte a system lies above another, over the same documents: (low, high).

    Both are resampled together, so what makes a document hard for both falls out. Raises as `bootstrap_ratio` does.
    """
    difference = np.asarray(nats, dtype=np.float64) - np.asarray(other_nats, dtype=np.float64)
    return bootstrap_ratio(difference / math.log(2), byte_counts, samples, seed)
