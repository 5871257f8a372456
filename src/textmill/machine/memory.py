"""How much memory a device has, how much of it is free, how much this process has needed, and what it can do without."""

import ctypes
import mmap
import os
import re
import sys
from collections.abc import Iterator
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


def give_back_freed() -> None:
    """Give the system the memory that was freed, which glibc keeps for later."""
    if sys.platform == "linux" and hasattr(system := ctypes.CDLL(None), "malloc_trim"):
        system.malloc_trim(ctypes.c_size_t(0))


def keep_freed() -> None:
    """From now on keep what this process frees, where it runs on glibc (mallopt(3)): a step that takes as much as the one
    before then needn't have it cleared by the system anew, page by page."""
    if sys.platform == "linux" and hasattr(system := ctypes.CDLL(None), "mallopt"):
        trim_threshold, most_mapped = -1, -4  # malloc.h: what may stay free, and how many blocks are mapped
        system.mallopt(most_mapped, 0)
        system.mallopt(trim_threshold, 2**31 - 1)


def give_back_libraries() -> None:
    """Give the system, on Linux, the pages of libraries that are as their files are: most of them their start alone needed, of
    torch's some 60 MB. Those that are needed again come from the system's cache."""
    if sys.platform == "linux":
        system = ctypes.CDLL(None)
        for begin, length in _unchanged_pages():
            system.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


def _unchanged_pages() -> Iterator[tuple[int, int]]:
    """Where libraries are mapped that nobody may write to, and nobody has written to since they were mapped: address and bytes.
    Pages that were written to, as where a library's addresses stand, would be lost."""
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE):
        place = re.match(r"([0-9a-f]+)-([0-9a-f]+) r-.p .*/[^/\n]*\.so[.\w-]*\n", mapping)
        written = re.search(r"^(Anonymous|Swap): +[1-9]", mapping, re.MULTILINE)
        if place and not written and "\nAnonymous:" in mapping:
            begin, end = (int(address, 16) for address in place.groups())
            yield begin, end - begin
