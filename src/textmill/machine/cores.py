"""How many cores this process has. Apart from the devices, since what cleans text needs no torch."""

import os
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may use: its affinity and its container's quota count, not the machine's total."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota_file = Path("/sys/fs/cgroup/cpu.max")  # "quota period" in microseconds, or "max period"
    if quota_file.is_file():
        quota, period = quota_file.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores
