"""What this machine has, apart from its speed: cores, memory, disk, runtimes, programs, versions."""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import threadpoolctl
import torch

from .. import __version__
from . import waiting
from .cgroups import cgroup_limits
from .cores import usable_cores
from .device import machine_name
from .energy import Rapl
from .finding import Finding

BYTES_PER_WEIGHT = 20  # weight, gradient, two moments, and as much as one of them again for what passes through
DISK_BYTES, DISK_SECONDS = 64 << 20, 4.0
# Program, what textmill needs it for, and its package in apt, brew and winget.
PROGRAMS = (
    ("g++", "torch.compile on a CPU", "g++", "xcode-select --install", "Microsoft.VisualStudio.2022.BuildTools"),
    ("make", "make quickstart and make test", "make", "xcode-select --install", "GnuWin32.Make"),
    ("git", "fetching textmill's own code", "git", "git", "Git.Git"),
    ("npm", "the Chinese sample text", "npm", "node", "OpenJS.NodeJS"),
)
RUNTIMES = {"libgomp": "GNU", "libiomp": "Intel", "libomp": "LLVM", "vcomp": "Microsoft"}


def versions() -> Iterator[Finding]:
    python = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    yield Finding("Machine", "textmill", "ok", f"{__version__}, torch {torch.__version__}, {python}")


def processor() -> Iterator[Finding]:
    """Cores that are there, and that this process may use, and by what it is held."""
    total, usable = os.cpu_count() or 1, usable_cores()
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    quota = cgroup_limits().cores
    held = [f"{affinity} by its affinity"] if affinity < total else []
    held += [f"{quota:g} by its container's quota"] if quota is not None and quota < total else []
    text = f"{machine_name(torch.device('cpu'))}, {torch.backends.cpu.get_cpu_capability()}, {usable} of {total} cores usable"
    text += f" (this process may use {' and '.join(held)})" if held else ""
    values = {"cores": total, "usable_cores": usable, "affinity": affinity, "quota": quota}
    yield Finding("Machine", "processor", "ok", text, values=values)


def memory() -> Iterator[Finding]:
    whole, limit = psutil.virtual_memory(), cgroup_limits().memory
    text = f"{whole.available / 1e9:.1f} of {whole.total / 1e9:.1f} GB free"
    if limit is not None and limit < whole.total:
        text += f"; this process may use {limit / 1e9:.1f} GB, by its container's limit"
    free = min(whole.available, limit or whole.available)
    values = {"total": whole.total, "available": whole.available, "limit": limit}
    if free < 2e9:
        way_out = f"close other programs, or train no more than some {free / BYTES_PER_WEIGHT / 1e6:.0f} million weights"
        yield Finding("Machine", "memory", "warn", text, way_out, values)
    else:
        yield Finding("Machine", "memory", "ok", text, values=values)


def disk(folder: Path) -> Iterator[Finding]:
    """What `folder`, where runs would lie, can hold, and how fast it takes it: written, and flushed to the disk itself."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    block, written = os.urandom(1 << 20), 0
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            started = time.perf_counter()
            while written < min(DISK_BYTES, free // 4) and time.perf_counter() - started < DISK_SECONDS:
                written += stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
            speed = written / (time.perf_counter() - started)
    except OSError as error:
        text = f"nothing can be written in {folder}: {error.strerror}"
        yield Finding("Machine", "disk", "FAIL", text, "work in a folder of your own, or give one with --out")
        return
    text = f"{speed / 1e6:,.0f} MB/s written and flushed, {free / 1e9:,.0f} GB free in {folder.resolve()}"
    values = {"bytes_per_second": speed, "free": free, "folder": str(folder.resolve())}
    if free < 2e9:
        yield Finding("Machine", "disk", "warn", text, "make room: a run holds text, tokens and several checkpoints", values)
    else:
        yield Finding("Machine", "disk", "ok", text, values=values)


def energy() -> Iterator[Finding]:
    """Whether energy can be read here, or must be estimated."""
    rapl = Rapl()
    if rapl.counters:
        yield Finding("Machine", "energy", "ok", f"read from the processor: {len(rapl.counters)} counters (RAPL)")
    elif rapl.refused:
        text = "the processor's counters (RAPL) are for root only, so energy is estimated from CPU time (ledger.watts_per_core)"
        yield Finding("Machine", "energy", "warn", text, "sudo chmod -R a+r /sys/class/powercap/intel-rapl, after each boot")
    else:
        text = "no counter can be read here, so energy is estimated from CPU time (ledger.watts_per_core)"
        yield Finding("Machine", "energy", "ok", text)


def openmp() -> Iterator[Finding]:
    """The OpenMP runtimes in this process, and whether their threads spin while they wait."""
    loaded = {Path(library["filepath"]): library["prefix"] for library in threadpoolctl.threadpool_info()
              if library["user_api"] == "openmp"}  # fmt: skip
    names = [f"{prefix} ({RUNTIMES.get(prefix, 'unknown maker')})" for prefix in loaded.values()]
    values = {"runtimes": [str(path) for path in loaded]}
    if not loaded:
        yield Finding(
            "Machine", "OpenMP", "ok", "no runtime that could be recognised: torch uses threads of its own", values=values
        )
    elif len(loaded) > 1:
        text = f"{len(loaded)} runtimes at once, {' and '.join(names)}: their threads get in each other's way"
        way_out = f"install only one of the packages that bring them: {', '.join(map(str, loaded))}"
        yield Finding("Machine", "OpenMP", "warn", text, way_out, values)
    else:
        yield Finding("Machine", "OpenMP", "ok", names[0], values=values)
    yield _wait_policy(set(loaded.values()))


def _wait_policy(runtimes: set[str]) -> Finding:
    """Whether waiting threads spin, which is ruinous where a core isn't one's own, and who has settled it."""
    settings = {name: os.environ.get(name) for name in (*waiting.SETTINGS, "OMP_NUM_THREADS")}
    said = ", ".join(f"{name}={value}" for name, value in settings.items() if value is not None) or "nothing is set"
    if waiting.by_textmill() and not waiting.too_late():
        text = f"{said}, set by textmill: waiting threads spin for a moment, then sleep, which bears neighbours"
        return Finding("Machine", "threads wait", "ok", text, values=settings)
    name = "KMP_BLOCKTIME" if runtimes & {"libiomp", "libomp"} else "GOMP_SPINCOUNT"
    own, policy = settings[name], (settings["OMP_WAIT_POLICY"] or "").lower()
    briefly = policy == "passive" if own is None else own.isdigit() and int(own) <= int(waiting.CHOSEN[name])
    if briefly and not waiting.too_late():
        text = f"{said}: waiting threads sleep soon or at once, which bears neighbours"
        return Finding("Machine", "threads wait", "ok", text, values=settings)
    text = f"{said}, but torch was loaded first" if waiting.too_late() else said
    text += ": waiting threads spin for milliseconds; beside a busy neighbour that makes them many times slower"
    way_out = f"unset {', '.join(waiting.SETTINGS)}, and import textmill before torch: then textmill chooses"
    return Finding("Machine", "threads wait", "warn", text, way_out, settings)


def programs() -> Iterator[Finding]:
    for name, purpose, apt, brew, winget in PROGRAMS:
        candidates = (name, "clang++", "cl") if name == "g++" and sys.platform != "linux" else (name,)
        found = next((path for path in map(shutil.which, candidates) if path), None)
        if found:
            yield Finding("Programs", name, "ok", f"{found}, for {purpose}", values={"path": found})
            continue
        get = {"darwin": brew if " " in brew else f"brew install {brew}", "win32": f"winget install {winget}"}
        way_out = get.get(sys.platform, f"apt install {apt}, or your system's own package of that name")
        yield Finding("Programs", name, "none", f"not found; it is for {purpose} only", way_out)
