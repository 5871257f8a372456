"""How many cores this process has."""

import os

from .cgroups import cgroup_limits


def usable_cores() -> int:
    """Cores that this process may use: its affinity and its container's quota count, not the machine's total."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_limits().cores
    return cores if quota is None else min(cores, max(1, round(quota)))
