"""How fast this machine computes and moves memory, measured by doing it."""

import time
from pathlib import Path

import psutil
import torch

from .device import synchronize

SIZES = {
    "cpu": (256, 512, 1024),
    "mps": (1024, 2048),
    "cuda": (1024, 4096, 8192),
}  # rows and columns of a matrix, tried in turn


def matrix_flops(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Floating-point operations per second of a large matrix product: the best of those run within `seconds`.

    For torch.int8 whole-number operations, by torch's product of int8 into int32. Raises RuntimeError where torch has no
    such product here.
    """
    best = 0.0
    for size in SIZES[device.type]:
        left, right = _matrices(size, device, dtype)
        shortest = _fastest_product(left, right, seconds / len(SIZES[device.type]))
        best = max(best, 2 * size**3 / shortest)
        if 8 * shortest > seconds:  # the next size would take longer than all is meant to
            break
    return best


def _matrices(size: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    if dtype == torch.int8:
        left, right = torch.randint(-128, 128, (2, size, size), dtype=dtype).to(device)
    else:
        left, right = torch.randn(2, size, size, device=device).to(dtype)
    return left, right


def _fastest_product(left: torch.Tensor, right: torch.Tensor, seconds: float) -> float:
    """Seconds of the fastest product of those that `seconds` allow; the first, which sets the kernel up, isn't counted."""
    multiply = torch._int_mm if left.dtype == torch.int8 else torch.matmul
    multiply(left, right)
    synchronize(left.device)
    best, started = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        multiply(left, right)
        synchronize(left.device)
        best = min(best, time.perf_counter() - before)
    return best


class Streams:
    """Arrays larger than the caches, over which the speed of a device's memory is measured."""

    def __init__(self, device: torch.device):
        self.device, size = device, _array_bytes(device) // 4
        self.first, self.second, self.target = (torch.ones(size, device=device) for _ in range(3))

    def bytes_per_second(self, seconds: float) -> float:
        """The best of some runs of two kinds, within `seconds`.

        One is the STREAM benchmark's triad (McCalpin 1995), a + s·b → c, two read and one written, which doesn't count that a
        cache reads a line before it writes it. The other, a·b, only reads, as decoding reads weights.
        """
        best, started = 0.0, time.perf_counter()
        while best == 0.0 or time.perf_counter() - started < seconds:
            for arrays, run in ((3, self._triad), (2, self._product)):
                before = time.perf_counter()
                run()
                synchronize(self.device)
                best = max(best, arrays * self.first.nbytes / (time.perf_counter() - before))
        return best

    def _triad(self) -> None:
        torch.add(self.first, self.second, alpha=3.0, out=self.target)

    def _product(self) -> None:
        torch.dot(self.first, self.second)


def memory_bytes_per_second(device: torch.device, seconds: float = 0.5) -> float:
    """Bytes per second to and from a device's memory: see `Streams`."""
    return Streams(device).bytes_per_second(seconds)


def _array_bytes(device: torch.device) -> int:
    """Four times the last cache, 64 MB at least, and no more than all three arrays have room for."""
    caches = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    largest = max((int(text[:-1]) << 10 for text in caches if text.endswith("K") and text[:-1].isdigit()), default=0)
    wanted = max(64 << 20, 4 * largest) if device.type == "cpu" else 512 << 20
    return min(wanted, psutil.virtual_memory().available // 8)
