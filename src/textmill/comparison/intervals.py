"""How far a mean over seeds could have come out otherwise: by the documents it was judged on, and by chance in training.

Documents are drawn again, as everywhere (bootstrap.py), the same ones for every system that is compared. Seeds can't be: three
drawn from three vary by a third too little. So to each draw of documents an error of the mean over seeds is added: its standard
error times a draw of Student's t, with one degree of freedom less than there are seeds, or of a difference with as many as
Welch (1947) gives it. One seed says nothing of training noise, and then the interval holds the documents' alone.
"""

import math

import numpy as np
import numpy.typing as npt

from ..evaluation.bootstrap import BOUNDS, resampled_ratios

Floats = npt.NDArray[np.float64]


def mean_interval(amounts: Floats, sizes: Floats, samples: int, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a system's figure, the mean over seeds of `amounts.sum() / sizes.sum()`: (low, high).

    `amounts` (seeds, documents), `sizes` (documents,). (nan, nan) for one document.
    """
    return _bounds(resampled_ratios(amounts, sizes, samples, seed).mean(axis=0), [figures(amounts, sizes)], seed)


def difference_interval(first: Floats, second: Floats, sizes: Floats, samples: int, seed: int = 0) -> tuple[float, float]:
    """The same of how much the first system's figure lies above the second's, over the same documents.

    `first` (seeds, documents), `second` (seeds of its own, documents).
    """
    drawn = resampled_ratios(np.stack([first.mean(axis=0) - second.mean(axis=0)]), sizes, samples, seed)[0]
    return _bounds(drawn, [figures(first, sizes), figures(second, sizes)], seed)


def figures(amounts: Floats, sizes: Floats) -> Floats:
    """Each seed's figure, (seeds,), of `amounts` (seeds, documents) and `sizes` (documents,)."""
    return amounts.sum(axis=1) / sizes.sum()


def _bounds(drawn: Floats, seeds: list[Floats], seed: int) -> tuple[float, float]:
    """The percentiles of what was drawn, each draw moved by an error of the means over seeds."""
    errors = [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in seeds if len(values) > 1]
    if variance := sum(squared for squared, _ in errors):
        freedom = variance**2 / sum(squared**2 / degrees for squared, degrees in errors)
        drawn = drawn + math.sqrt(variance) * np.random.default_rng([seed, 1]).standard_t(freedom, len(drawn))
    low, high = np.percentile(drawn, BOUNDS)
    return float(low), float(high)
