"""Whether other programs keep this machine busy. Beside one, torch's threads wait for each other, and nothing measured is
worth remembering."""

import contextlib
import time

import psutil

from .cores import usable_cores
from .energy import CpuClock

NOTICEABLE = 0.25  # cores


class Neighbours:
    """Watches what all other processes use, from when it is made."""

    def __init__(self) -> None:
        self.clock = CpuClock()
        self.processes = _seconds_by_process()
        self.started = time.monotonic()
        self.own, self.all = self.clock.seconds(), _busy_seconds()

    def cores(self) -> float:
        """Cores' worth of CPU time that others have used since then, other virtual machines on the same host included."""
        elapsed = time.monotonic() - self.started
        own, everything = self.clock.seconds() - self.own, _busy_seconds() - self.all
        return max(0.0, (everything - own) / elapsed) if elapsed > 0 else 0.0

    def crowded(self) -> bool:
        """Whether others use cores that this process could have used. Where there are more cores than it may use, others
        may have the rest."""
        spare = (psutil.cpu_count() or 1) - usable_cores()
        return self.cores() > spare + NOTICEABLE

    def busiest(self, count: int = 3) -> list[tuple[str, int, float]]:
        """Name, id and cores of the `count` processes that used most since then, as far as they may be looked at."""
        elapsed = max(time.monotonic() - self.started, 1e-9)
        family = {self.clock.process.pid, *(child.pid for child in self.clock.process.children(recursive=True))}
        used = []
        for (pid, created), seconds in _seconds_by_process().items():
            cores = (seconds - self.processes.get((pid, created), 0.0)) / elapsed
            if pid not in family and cores >= 0.05:
                with contextlib.suppress(psutil.Error):
                    used.append((psutil.Process(pid).name(), pid, cores))
        return sorted(used, key=lambda process: -process[2])[:count]


def _busy_seconds() -> float:
    """CPU seconds that the whole machine has worked since it was started, time taken by the host's other guests included."""
    times = psutil.cpu_times()._asdict()
    guests = ("guest", "guest_nice")  # these are in user and nice already
    return sum(seconds for kind, seconds in times.items() if kind not in ("idle", "iowait", *guests))


def _seconds_by_process() -> dict[tuple[int, float], float]:
    seconds = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds[process.pid, process.create_time()] = times.user + times.system
    return seconds
