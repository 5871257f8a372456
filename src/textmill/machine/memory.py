"""How much memory a device has, and how much of it is free."""

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
