"""How much memory a device has, how much of it is free, and how much this process has needed."""

import os
import re
import sys
from pathlib import Path

import psutil
import torch

from .cgroups import cgroup_limits


def memory_bytes(device: torch.device) -> int:
    """All memory that this process could ever have on the device: a container's limit counts, not the machine's total."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return min(psutil.virtual_memory().total, cgroup_limits().memory or 2**63)


def free_bytes(device: torch.device) -> int:
    """What is free of it now. On MPS and in a container that is estimated by what this process itself uses."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return max(0, memory_bytes(device) - torch.mps.current_allocated_memory())
    own = psutil.Process().memory_info().rss
    return max(0, min(psutil.virtual_memory().available, memory_bytes(device) - own))


def peak_bytes() -> int:
    """The most main memory that this process has held at once so far, its libraries included; what it keeps on a GPU isn't."""
    if os.name == "nt":
        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":  # getrusage's figure would begin with that of the process which started this one
        return 1024 * int(re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])  # type: ignore[index]
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
