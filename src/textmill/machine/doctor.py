"""Doctor: everything that training leans on, run once on this machine; what will be used, what is missing, how to get it."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from . import compiling, environment, kernels
from .cores import usable_cores
from .device import best_device
from .finding import Finding
from .neighbours import Neighbours
from .profile import forget

COMPILING_SECONDS = 35.0  # at most
LISTENING_SECONDS = 1.0  # of keeping still, to hear the neighbours
WORTH_A_CHANGE = 1.2  # times as fast

WITH_NEIGHBOURS = "wait until they end, or stop them, and run doctor again"

Probe = Callable[[], Iterator[Finding]]


def examine(attention: Mapping[str, kernels.Attention], native: Probe, runs: Path, seconds: float) -> Iterator[Finding]:
    """Look at this machine, one finding after the other, then say what follows from them. Compiling is given up where
    all would take longer than `seconds`.

    `attention` holds textmill's ways to compute it by name; `native` looks at the C++ kernels; `runs` is the folder where runs
    would lie. What the machine remembered is forgotten, and what is measured now is remembered. A probe that fails is a
    finding; none raises.
    """
    started = time.monotonic()
    forget()
    watch = Neighbours()
    findings = []

    def compile_in_time() -> Iterator[Finding]:
        yield from compiling.compiling(min(COMPILING_SECONDS, max(5.0, seconds - (time.monotonic() - started))))

    probes: list[tuple[str, str, Probe]] = [
        ("Machine", "textmill", environment.versions),
        ("Machine", "processor", environment.processor),
        ("Machine", "memory", environment.memory),
        ("Machine", "device", kernels.devices),
        ("Machine", "disk", lambda: environment.disk(runs)),
        ("Machine", "energy", environment.energy),
        ("Machine", "OpenMP", environment.openmp),
        ("Machine", "neighbours", neighbours),
        ("Speed", "products", kernels.products),
        ("Speed", "threads", kernels.threads),
        ("Speed", "memory", kernels.memory_speed),
        ("Kernels", "attention", lambda: kernels.attention(attention)),
        ("Kernels", "textmill's own", native),
        ("Kernels", "compile", compile_in_time),
        ("Programs", "programs", environment.programs),
    ]
    for section, name, probe in probes:
        for finding in _run(section, name, probe):
            findings.append(finding)
            yield finding
    for finding in (*choices(findings), *to_do(findings, watch)):
        yield finding


def _run(section: str, name: str, probe: Probe) -> Iterator[Finding]:
    """What a probe finds; where it fails, that."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says at length why each kernel that it doesn't have isn't there
            yield from probe()
    except Exception as error:
        reason = (str(error) or "no reason given").splitlines()[0]
        yield Finding(section, name, "FAIL", f"could not be looked at: {type(error).__name__}: {reason}")


def neighbours() -> Iterator[Finding]:
    """What others use while this process keeps still."""
    watch = Neighbours()
    time.sleep(LISTENING_SECONDS)
    cores, busiest = watch.cores(), watch.busiest()
    values = {"cores": cores, "processes": [{"name": name, "id": pid, "cores": used} for name, pid, used in busiest]}
    if not watch.crowded():
        yield Finding("Machine", "neighbours", "ok", f"quiet: other programs use {cores:.1f} cores", values=values)
        return
    who = ", ".join(f"{name} (process {pid}) {used:.1f}" for name, pid, used in busiest) or "none of them may be looked at"
    text = f"other programs use {cores:.1f} cores: {who}. Beside them all is slower"
    yield Finding("Machine", "neighbours", "warn", text, WITH_NEIGHBOURS, values)


def choices(findings: list[Finding]) -> Iterator[Finding]:
    """What will be used, and why, as far as it can be told without the model."""
    found = {(finding.section, finding.name): finding.values for finding in findings}
    device = best_device()
    why = {"cuda": "a GPU is there", "mps": "Apple's GPU is there", "cpu": "no GPU that this torch can use"}[device.type]
    yield Finding("Will be used", "device", "->", f"{device.type}: {why}", values={"choice": device.type})
    if device.type == "cpu":
        flops = found.get(("Speed", "threads"), {}).get("flops", {})
        best = max(flops, key=flops.__getitem__) if flops else usable_cores()
        reason = "the fastest in a product" if flops else "as many as there are cores"
        yield Finding("Will be used", "threads", "->", f"{best}: {reason}", values={"choice": best})
    single, half = (found.get(("Speed", name), {}).get("flops") for name in ("float32", "bfloat16"))
    if single and half:
        dtype = "bfloat16" if half > WORTH_A_CHANGE * single else "float32"
        names = ("float32", "bfloat16") if single > half else ("bfloat16", "float32")
        reason = f"{names[0]} is {max(single / half, half / single):,.3g} times as fast as {names[1]} in a product"
        yield Finding("Will be used", "dtype", "->", f"{dtype}: {reason}", values={"choice": dtype})
    seconds = {name.removesuffix(" attention"): values["seconds"] for (section, name), values in found.items()
               if section == "Kernels" and name in ("fused attention", "eager attention") and values}  # fmt: skip
    if seconds:
        best_kernel = min(seconds, key=seconds.__getitem__)
        text = f"{best_kernel}: the fastest of {', '.join(seconds)}"
        yield Finding("Will be used", "attention", "->", text, values={"choice": best_kernel})
    compile_mark = next((finding.mark for finding in findings if finding.name == "compile"), "FAIL")
    choice, reason = {
        "ok": ("auto", "where a run is long enough to win the time of compiling back"),
        "warn": ("auto", "where a run is long enough; here it isn't known to work"),
    }.get(compile_mark, ("off", "it does not work here"))
    yield Finding("Will be used", "compile", "->", f"{choice}: {reason}", values={"choice": choice})
    text = "each training measures these on its own model before the first step, where the recipe leaves them open"
    yield Finding("Will be used", "but", "->", text)


def to_do(findings: list[Finding], watch: Neighbours) -> Iterator[Finding]:
    """What is missing or in the way, each with its way out."""
    for finding in findings:
        if finding.way_out:
            yield Finding("To do", finding.name, "->", finding.way_out)
    if watch.crowded():
        text = "these figures were measured beside a busy neighbour: they are marked, and each run measures anew"
        yield Finding("To do", "figures", "->", text, values={"noisy": True})
