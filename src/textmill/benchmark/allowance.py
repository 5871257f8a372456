"""The time that a benchmark may take, shared out over what is still to be done, so that a slow machine ends in time too.

What will not fit is known before it is begun: from the limits that were measured first, and, for what meets none of them,
from what it takes on a known machine and how much slower than that one this one has been so far.
"""

import time
from collections.abc import Callable

from ..progress import format_seconds

REFERENCE = 1e11  # float32 operations a second in a matrix product, of the machine on which the usual seconds were taken
MORE = 3  # times its equal share of the time left is what a piece of work may take, and never more than what is left


class Allowance:
    """`seconds` for so many `cases`, from now on, by a `clock` that gives seconds."""

    def __init__(self, seconds: float, cases: int, clock: Callable[[], float] = time.perf_counter):
        self.clock, self.cases = clock, cases
        self._deadline = clock() + seconds
        self._usual = self._taken = 0.0

    @property
    def left(self) -> float:
        """Seconds until all is to be done."""
        return max(0.0, self._deadline - self.clock())

    def share(self, cases: int = 1) -> float:
        """Seconds that so many of the cases left may take, if all were given the same."""
        return self.left * min(1.0, cases / max(1, self.cases))

    def room(self, cases: int = 1) -> float:
        """Seconds that so many of them may take at most."""
        return min(self.left, MORE * self.share(cases))

    def done(self, cases: int = 1) -> None:
        """Count cases as done, or left out."""
        self.cases -= cases

    def learn_speed(self, operations_per_second: float) -> None:
        """Take the rate of a float32 matrix product for a first guess at how slow this machine is."""
        self.learn(1.0, REFERENCE / operations_per_second)

    def learn(self, usual: float, taken: float) -> None:
        """Remember that what takes `usual` seconds elsewhere has `taken` so many here; 0: who knows what it takes elsewhere."""
        if usual:
            self._usual, self._taken = self._usual + usual, self._taken + taken

    def expected(self, usual: float) -> float:
        """Seconds that this machine will take for it, and no fewer."""
        return usual * max(1.0, self._taken / self._usual if self._usual else 1.0)

    def why_not(self, expected: float, room: float) -> str:
        """Why work of so many seconds is left out."""
        return f"it would take some {format_seconds(expected)} here, of {format_seconds(room)} that are left for it"
