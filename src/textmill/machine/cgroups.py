"""What a container or a service manager allows this process: cores and memory, by Linux control groups of both versions."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

UNLIMITED = 2**60  # version 1 writes "no limit" as a number of bytes near 2**63


@dataclass(frozen=True)
class Limits:
    """Cores' worth of CPU time and bytes of memory; None where there is no limit."""

    cores: float | None = None
    memory: int | None = None


def cgroup_limits(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> Limits:
    """The tightest limits of this process's groups and of all groups around them; no limits where there are no groups."""
    cores, memory = [], []
    for folder in _folders(root, membership):
        if (quota := _numbers(folder / "cpu.max")) and len(quota) == 2:  # "quota period", or "max period"
            cores.append(quota[0] / quota[1])
        quota, period = _numbers(folder / "cpu.cfs_quota_us"), _numbers(folder / "cpu.cfs_period_us")
        if quota and period and quota[0] > 0:  # -1: none
            cores.append(quota[0] / period[0])
        memory += _numbers(folder / "memory.max") + _numbers(folder / "memory.limit_in_bytes")
    return Limits(min(cores, default=None), min((limit for limit in memory if limit < UNLIMITED), default=None))


def _folders(root: Path, membership: Path) -> set[Path]:
    """The folders of the groups that this process is in, and of their parents. In a container its own group is the root."""
    folders = set()
    with contextlib.suppress(OSError, ValueError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for hierarchy in {root, root / "unified", *(root / name for name in (controllers, *controllers.split(",")))}:
                group = hierarchy / path.lstrip("/")
                folders |= {folder for folder in (group, *group.parents) if folder.is_relative_to(root)}
    return folders | {root}


def _numbers(path: Path) -> list[int]:
    """The whole numbers in a file; none where it isn't there."""
    try:
        return [int(word) for word in path.read_text().split() if word.lstrip("-").isdigit()]
    except OSError:
        return []
