"""A piece of work that is timed, and what came of it: its rate in several runs, beside the limit that it meets."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..machine.limits import Limit, Limits
from ..machine.neighbours import Neighbours

LEAST_RUNS, MOST_RUNS = 3, 15
RUN_SECONDS = 0.2  # that a run takes at least: shorter work is repeated, since a clock and a scheduler have grains


@dataclass(frozen=True)
class Case:
    """Work that is measured: `run` does `amount` units of it, which take `operations` in a `format` and read `bytes`.

    `rated`: `run` gives the rate itself, in units per second.
    """

    part: str
    name: str
    unit: str
    run: Callable[[], object]
    amount: float = 1.0
    operations: float = 0.0
    format: str = "float32"
    bytes: float = 0.0
    rated: bool = False


@dataclass(frozen=True)
class Missing:
    """Work that can't be done here, and why."""

    part: str
    name: str
    why: str


@dataclass(frozen=True)
class Measurement:
    """Units per second in each run. `limit`: what binds it, and how many units per second that allows; `crowded`: other
    programs used the cores meanwhile."""

    part: str
    name: str
    unit: str
    rates: tuple[float, ...]
    limit: str | None
    limit_rate: float | None
    crowded: bool

    @property
    def median(self) -> float:
        """Units per second."""
        return statistics.median(self.rates)

    @property
    def share(self) -> float | None:
        """Of what the limit allows; None where no limit is known. Above 1 where caches held what memory should have."""
        return None if self.limit_rate is None else self.median / self.limit_rate


def measure(case: Case, seconds: float, limits: Limits) -> Measurement:
    """Do the work over and over for about `seconds`, three times at least after once that isn't counted."""
    watch, started = Neighbours(), time.perf_counter()
    first = _seconds(case.run)
    if first < RUN_SECONDS:  # of which much was setting up
        first = _seconds(case.run)
    repeats = 1 if case.rated else max(1, round(RUN_SECONDS / first))
    rates: list[float] = []
    while len(rates) < LEAST_RUNS or (len(rates) < MOST_RUNS and time.perf_counter() - started < seconds):
        if case.rated:
            rates.append(float(case.run()))  # type: ignore[arg-type]
            continue
        before = time.perf_counter()
        for _ in range(repeats):
            case.run()
        rates.append(repeats * case.amount / (time.perf_counter() - before))
    limit: Limit | None = limits.binding(case.operations, case.format, case.bytes)
    name, rate = (None, None) if limit is None else (limit.name, case.amount / limit.seconds)
    return Measurement(case.part, case.name, case.unit, tuple(rates), name, rate, watch.crowded())


def _seconds(run: Callable[[], object]) -> float:
    before = time.perf_counter()
    run()
    return max(time.perf_counter() - before, 1e-9)
