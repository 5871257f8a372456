"""How fast this machine computes, measured by doing it."""

import time

import torch

from .device import synchronize


def matrix_flops(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Floating-point operations per second of a large matrix product: the best of those run within `seconds`."""
    size = 1024 if device.type == "cpu" else 4096
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    left @ right  # the first product sets the kernel up
    synchronize(device)
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < seconds:
        before = time.perf_counter()
        left @ right
        synchronize(device)
        best = min(best, time.perf_counter() - before)
    return 2 * size**3 / best
