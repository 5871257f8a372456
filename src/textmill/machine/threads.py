"""With how many threads, and how they wait for each other, work goes fastest: tried on the work itself.

Beside a busy neighbour whoever waits by spinning takes the core from the thread that is waited for; and fewer threads can be
faster than more, since all of them wait for the one that has no core at the moment. So other ways are tried when work takes
much longer than it did, and the faster ones again from time to time: rarely enough that what a trial costs hardly counts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from .waiting import BriefWaits

LEAST_MEASUREMENTS, LEAST_SECONDS = 2, 0.1  # of a way, before it is judged
LONGER = 1.5  # times what it took at best: time to look for the reason
WORTH_A_CHANGE = 0.95  # of what it takes now
HOPELESS = 2.0  # times what the best takes
PAUSE, PAUSE_BEFORE_CHANGE = 30, 6  # times what a trial took, until the next; where work takes another time than it did then


@dataclass(frozen=True)
class Threads:
    """So many threads; `briefly`: they soon sleep while they wait."""

    count: int
    briefly: bool = False


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Have torch work with so many threads, meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ThreadChoice:
    """Chooses how to work next: `now`, at first with `count` threads.

    `most`: up to how many it may be; None: the count stays, and only how they wait is chosen, which changes no bits. `waits`:
    how they wait is chosen too; False: they are not OpenMP's, and see to it themselves. `usual`: what one unit of work takes
    at first when all is well; where that isn't known, other ways are tried at once.
    """

    def __init__(self, count: int, most: int | None = None, waits: bool = True, usual: float | None = None):
        counts = {count} if most is None else {1, most // 2, most - 1, most, count} - {0}
        ways = {Threads(number, briefly=waits and number > 1) for number in counts} | {Threads(max(counts))}
        self._ways = sorted(ways, key=lambda way: (way.count, not way.briefly))  # the most modest first
        self.now = next(way for way in reversed(self._ways) if way.count == count)
        self._waits = BriefWaits()
        self._work_as(self.now)
        self._usual = {} if usual is None else {self.now: usual}
        self._best: tuple[Threads, float] | None = None  # while others are tried: the best so far, and what it takes
        self._untried: list[Threads] = []
        self._settled: float | None = None  # what work took when the last trial ended
        self._worked = self._tried_seconds = 0.0  # since the last trial ended, and in it
        self._measurements, self._work, self._seconds = -1, 0.0, 0.0

    @property
    def count(self) -> int:
        """Threads to work with next."""
        return self.now.count

    @property
    def trying(self) -> bool:
        """Whether that is only tried."""
        return self._best is not None

    def measure(self, work: float, seconds: float) -> None:
        """Take in that so much work, in any unit, took so long. The first after a change isn't counted: threads have to be
        started for it."""
        self._worked += seconds
        self._measurements += 1
        if self._measurements:
            self._work, self._seconds = self._work + work, self._seconds + seconds
        if self._measurements >= LEAST_MEASUREMENTS and self._seconds >= LEAST_SECONDS and len(self._ways) > 1:
            cost, seconds = self._seconds / self._work, self._seconds
            self._measurements, self._work, self._seconds = -1, 0.0, 0.0
            if self._best is None:
                self._watch(cost)
            else:
                self._judge(cost, seconds, *self._best)

    def _watch(self, cost: float) -> None:
        """In the way that was settled on: try more modest ones when it is new or has become slow, else others now and then."""
        usual, place = self._usual.get(self.now), self._ways.index(self.now)
        self._usual[self.now] = cost if usual is None else min(usual, cost)
        settled = self._settled or cost
        same = settled / LONGER < cost < settled * LONGER
        if self._worked < (PAUSE if same else PAUSE_BEFORE_CHANGE) * self._tried_seconds:
            return
        modest, greedy = self._ways[:place][::-1], self._ways[place + 1 :]
        self._untried = modest if modest and (usual is None or cost > LONGER * usual) else greedy
        if self._untried:
            self._best, self._tried_seconds = (self.now, cost), 0.0
            self._work_as(self._untried.pop(0))

    def _judge(self, cost: float, seconds: float, best: Threads, least: float) -> None:
        """Try the next way, unless this one is so slow that those beyond it will be; then stay with the best."""
        self._tried_seconds += seconds
        if cost < WORTH_A_CHANGE * least:
            best, least = self._best = self.now, cost
        if self._untried and cost < HOPELESS * least:
            self._work_as(self._untried.pop(0))
            return
        self._usual[best], self._best, self._settled, self._worked = least, None, least, 0.0
        self._work_as(best)

    def _work_as(self, way: Threads) -> None:
        self.now = way
        if way.briefly:
            self._waits.begin(way.count)
        else:
            self._waits.end()
