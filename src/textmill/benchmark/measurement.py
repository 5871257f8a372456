"""A piece of work that is timed, and what came of it: its rate in several runs, beside the limit that it meets."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..machine.limits import Limit, Limits
from ..machine.neighbours import Neighbours
from .allowance import Allowance

ENOUGH_RUNS, MOST_RUNS = 3, 15
RUN_SECONDS = 0.2  # that a run takes at least: shorter work is repeated, since a clock and a scheduler have grains
TIMES_THE_LIMIT = 3  # that work is expected to take beside the least that its limit allows, before it was run


@dataclass(frozen=True)
class Case:
    """Work that is measured: `run` does `amount` units of it, which take `operations` in a `format` and read `bytes`.

    `usual`: seconds of a run on the machine that an `Allowance` reckons from, where it meets no limit that could tell.
    `rated`: `run` gives the rate itself, in units per second, after a time that is the same on every machine.
    """

    part: str
    name: str
    unit: str
    run: Callable[[], object]
    amount: float = 1.0
    operations: float = 0.0
    format: str = "float32"
    bytes: float = 0.0
    usual: float = 0.0
    rated: bool = False


@dataclass(frozen=True)
class Missing:
    """Work that can't be done here, and why."""

    part: str
    name: str
    why: str


@dataclass(frozen=True)
class Group:
    """Cases that are set up together, which takes `setup` seconds on the machine that an `Allowance` reckons from; `make` sets
    them up when the first is asked for, and gives one for each of `names`, in their order."""

    part: str
    names: tuple[str, ...]
    setup: float
    make: Callable[[], Iterator[Case | Missing]]


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


def measure(case: Case, allowance: Allowance, limits: Limits) -> Measurement | Missing:
    """Do the work over and over for its share of the time, after once that isn't counted; at least once, thrice where there is
    room. What is expected to find no room is missing, and so is what turns out to find none."""
    clock, watch = allowance.clock, Neighbours()
    limit: Limit | None = limits.binding(case.operations, case.format, case.bytes)
    usual, seconds, room = case.usual, allowance.share(), allowance.room()
    expected = allowance.expected(usual) if limit is None else TIMES_THE_LIMIT * limit.seconds
    most = ENOUGH_RUNS if case.rated else MOST_RUNS
    if 2 * expected > room:
        return Missing(case.part, case.name, allowance.why_not(2 * expected, room))
    started = clock()
    first = _seconds(case.run, clock)
    allowance.learn(usual, first)
    if clock() - started + first > room:
        return Missing(case.part, case.name, allowance.why_not(2 * first, room))
    if first < RUN_SECONDS and not case.rated:  # of which much was setting up
        first = _seconds(case.run, clock)
    repeats = 1 if case.rated else max(1, round(RUN_SECONDS / first))
    rates: list[float] = []

    def more() -> bool:
        """Whether there is time for another run: for up to three where they don't outgrow the room, then for the share."""
        ended = clock() - started + repeats * first
        return len(rates) < most and (not rates or ended < (room if len(rates) < ENOUGH_RUNS else seconds))

    while more():
        if case.rated:
            rates.append(float(case.run()))  # type: ignore[arg-type]
            continue
        before = clock()
        for _ in range(repeats):
            case.run()
        rates.append(repeats * case.amount / max(clock() - before, 1e-9))
    name, rate = (None, None) if limit is None else (limit.name, case.amount / limit.seconds)
    return Measurement(case.part, case.name, case.unit, tuple(rates), name, rate, watch.crowded())


def _seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    before = clock()
    run()
    return max(clock() - before, 1e-9)
