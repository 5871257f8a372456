"""Two systems on the same questions: how far apart they are, and whether chance would part equal ones as far.

The interval resamples questions, both systems' marks together (paired bootstrap); the p-value exchanges the two systems' marks
at random, question by question (paired permutation test, Fisher 1935), which assumes nothing of how marks are distributed.
"""

import numpy as np
import numpy.typing as npt

PERMUTATIONS = 10_000
AT_ONCE = 1 << 20  # marks that are exchanged in one step, which bounds the memory


def permutation_p_value(differences: npt.ArrayLike, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """How often the sum of `differences` (N,), one a question, is as far from zero with signs drawn at random: two-sided, the
    order that was found counted with the drawn ones, so that it is never 0 (Phipson & Smyth 2010)."""
    values = np.asarray(differences, dtype=np.float64)
    found = abs(values.sum())
    generator = np.random.default_rng(seed)
    rows, beyond = max(1, AT_ONCE // max(1, len(values))), 0
    for start in range(0, permutations, rows):
        signs = generator.integers(0, 2, size=(min(rows, permutations - start), len(values))) * 2 - 1
        beyond += int((np.abs(signs @ values) >= found * (1 - 1e-9)).sum())
    return (1 + beyond) / (1 + permutations)
