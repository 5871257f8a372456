"""What work costs in energy: read from the processor (RAPL) and the GPU (NVML) where that is allowed, else CPU seconds.

Readings are facts: joules that a counter gave, and seconds of CPU time for which no counter could be read. What such a
second costs is an assumption, and is made in ledger.py.
"""

import contextlib
import importlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from .memory import peak_bytes

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Usage:
    """What some work used. Usages add up.

    `joules` by the counter they were read from (`rapl`, `nvml`); `cpu_seconds` of all processes, only of the time in which
    no counter covered the processor; `notes` say what the joules hold, and what they don't; `peak_bytes` is the most memory
    that the process had held by the end of it, in whatever work.
    """

    attempts: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    joules: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    peak_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        sources = dict.fromkeys([*self.joules, *other.joules])
        return Usage(
            self.attempts + other.attempts,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            {source: self.joules.get(source, 0.0) + other.joules.get(source, 0.0) for source in sources},
            tuple(dict.fromkeys([*self.notes, *other.notes])),
            max(self.peak_bytes, other.peak_bytes),
        )


class Rapl:
    """The processor's own energy counters, as Linux shows them. Holds for Intel and, in spite of the name, for AMD.

    Packages and their memory are added. `core` and `uncore` lie inside a package and `psys` around it, and a package may
    be shown a second time (`intel-rapl-mmio`): these would count twice. psys counts only where there is no package.
    """

    def __init__(self, powercap: Path = POWERCAP):
        self.refused = False
        self.counters: dict[Path, tuple[int, int]] = {}  # folder -> microjoules read last, microjoules at which it wraps
        zones: dict[tuple[str, ...], Path] = {}
        for folder in sorted(powercap.glob("intel-rapl*:*")):  # intel-rapl before intel-rapl-mmio
            with contextlib.suppress(OSError):
                name, parent = (folder / "name").read_text().strip(), folder.name.split(":")[1:-1]
                if name.startswith("package") or name in ("dram", "psys"):
                    zones.setdefault((name, *parent), folder)
        if any(key[0].startswith("package") for key in zones):
            zones.pop(("psys",), None)
        for folder in zones.values():
            try:
                self.counters[folder] = self._read(folder), int((folder / "max_energy_range_uj").read_text())
            except PermissionError:
                self.refused = True
            except (OSError, ValueError):
                continue  # a zone that is shown, but doesn't count on this machine

    def _read(self, folder: Path) -> int:
        return int((folder / "energy_uj").read_text())

    def joules(self) -> float:
        """Joules since the last call. To be called more often than a counter wraps, which takes minutes at least."""
        total = 0
        for folder, (before, wraps_at) in self.counters.items():
            with contextlib.suppress(OSError, ValueError):
                now = self._read(folder)
                total += now - before if now >= before else now + wraps_at - before
                self.counters[folder] = now, wraps_at
        return total / 1e6


class Nvml:
    """The energy counters of the NVIDIA GPUs that torch sees, by NVIDIA's own library (the package nvidia-ml-py).

    Written to its documentation; no test has run it on a GPU.
    """

    def __init__(self) -> None:
        self.handles: list[tuple[Any, float]] = []
        if not torch.cuda.is_available():
            return
        with contextlib.suppress(Exception):  # no library, no driver, an old GPU without a counter: named by the meter
            self.library = importlib.import_module("pynvml")
            self.library.nvmlInit()
            for number in range(torch.cuda.device_count()):
                handle = self.library.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(number).uuid}")
                self.handles.append((handle, self._read(handle)))

    def _read(self, handle: Any) -> float:
        return self.library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3

    def joules(self) -> float:
        """Joules of all GPUs since the last call."""
        with contextlib.suppress(Exception):
            now = [(handle, self._read(handle)) for handle, _ in self.handles]
            used = sum(after - before for (_, before), (_, after) in zip(self.handles, now))
            self.handles = now
            return used
        return 0.0


class CpuClock:
    """CPU seconds of this process and all its descendants, those that have ended included."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.alive: dict[tuple[int, float], float] = {}
        self.ended = 0.0

    def seconds(self) -> float:
        """CPU seconds since this process began. What a descendant used since the last call is lost where it ends on Windows,
        which doesn't hand it on to the parent."""
        alive: dict[tuple[int, float], float] = {}
        for child in self.process.children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it ends just now
                alive[child.pid, child.create_time()] = sum(child.cpu_times()[:4])  # with its own ended children
        if os.name == "nt":
            self.ended += sum(seconds for key, seconds in self.alive.items() if key not in alive)
        self.alive = alive
        own = os.times()
        return own.user + own.system + own.children_user + own.children_system + self.ended + sum(alive.values())


class Meter:
    """Measures what this process and its descendants use from now on."""

    def __init__(self, powercap: Path = POWERCAP):
        self.rapl, self.nvml, self.clock = Rapl(powercap), Nvml(), CpuClock()
        self.started, self.cpu_started = time.monotonic(), self.clock.seconds()
        self.joules: dict[str, float] = {}
        notes = []
        if self.rapl.counters:
            self.joules["rapl"] = 0.0
            notes.append("RAPL counts processor and memory whole, other programs' work included")
        elif self.rapl.refused:
            notes.append("the processor's counter (RAPL) is there, but only root may read it")
        if self.nvml.handles:
            self.joules["nvml"] = 0.0
            notes.append("NVML counts the GPUs whole")
        elif torch.cuda.is_available():
            notes.append("the GPU is not counted: pip install nvidia-ml-py")
        elif torch.backends.mps.is_available():
            notes.append("the GPU is not counted: macOS shows its energy to root only")
        self.notes = tuple(notes)

    def read(self) -> Usage:
        """What was used since the meter was made. To be called every few minutes at least, so that no counter wraps unseen."""
        seconds = time.monotonic() - self.started
        if "nvml" in self.joules:
            self.joules["nvml"] += self.nvml.joules()
        if "rapl" in self.joules:
            self.joules["rapl"] += self.rapl.joules()
            return Usage(1, seconds, 0.0, dict(self.joules), self.notes, peak_bytes())
        cpu_seconds = max(0.0, self.clock.seconds() - self.cpu_started)
        return Usage(1, seconds, cpu_seconds, dict(self.joules), self.notes, peak_bytes())
