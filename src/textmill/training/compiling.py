"""Whether torch.compile pays: what it costs and what it saves, measured once a machine and shape, in a process of its own.

A compiler that fails, or never comes back, is another process's trouble: the run goes on without it. What that process has
compiled lies in torch's cache, from where the run takes it.
"""

import contextlib
import dataclasses
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import psutil
import torch

from ..files import fingerprint
from ..machine.device import synchronize
from ..machine.neighbours import Neighbours
from ..machine.profile import recall, remember
from ..models.architectures import build
from ..models.config import ModelConfig
from ..progress import format_seconds
from ..tokens.loader import Batch
from ..tokens.plans import Plan
from .objectives import Objective
from .optimizers import Optimizer
from .settings import TrainSettings
from .step import Kernels, run_step

# Until it has been measured here: what compiling may cost and save, so that a trial is made only where it can pay.
ASSUMED_COST = 60.0  # seconds
ASSUMED_SAVING = 0.2  # share of a step
TIMED_STEPS = 5


def consider_compiling(
    best: Kernels,
    fastest: float,
    expected: float,
    settings: TrainSettings,
    plan: Plan,
    config: ModelConfig,
    objective: Objective,
    reasons: list[str],
) -> tuple[Kernels, float]:
    """The kernels for a run of `expected` seconds, compiled where that saves more than it costs; and the seconds of a step."""
    if settings.batch_schedule or settings.context_schedule:
        reasons.append("compile: off, each size of the schedules would be compiled for itself")
        return best, fastest
    key = profile_key(best, config, plan)
    known = recall(key)
    affordable = expected * ASSUMED_SAVING
    if known is None or known.get("waited", affordable) < affordable / 4:  # a longer run can wait longer for an answer
        if affordable < 2 * ASSUMED_COST:  # the trial itself costs as much again
            reasons.append(
                f"compile: not tried; a step {ASSUMED_SAVING:.0%} faster would save {format_seconds(affordable)} of "
                f"{format_seconds(expected)}, and trying it and doing it takes some {2 * ASSUMED_COST:.0f} s"
            )
            return best, fastest
        if best.device == "cuda":
            torch.cuda.empty_cache()  # the other process needs memory of the same device
        neighbours = Neighbours()
        known = measure_apart(best, settings, config, plan, objective, timeout=affordable / 2)
        if "out of memory" not in known.get("failed", ""):  # which is of the moment
            remember(key, known, neighbours.crowded())
    if "failed" in known:
        reasons.append(f"compile: off, it failed here ({known['failed']})")
        return best, fastest
    saved = expected * (1 - known["compiled"] / known["plain"])
    reasons.append(
        f"compile: {known['compiled']:.3f} s a step after {known['cost']:.0f} s of compiling, against {known['plain']:.3f} s "
        f"without; of {format_seconds(expected)} that saves {saved:.0f} s"
    )
    if saved <= known["cost"]:
        return best, fastest
    return dataclasses.replace(best, compile=True), fastest * known["compiled"] / known["plain"]


def profile_key(kernels: Kernels, config: ModelConfig, plan: Plan) -> str:
    """Under which the machine remembers what compiling this costs and saves."""
    shape = [dataclasses.asdict(kernels), str(config), plan.batch_size]
    return f"compiled layers/{kernels.device}/{kernels.dtype}/{fingerprint(shape)[:16]}"


def measure_apart(
    kernels: Kernels, settings: TrainSettings, config: ModelConfig, plan: Plan, objective: Objective, timeout: float
) -> dict[str, Any]:
    """`plain` and `compiled` seconds of a step and the `cost` of compiling, or why it `failed`; by a process of its own, which
    is ended, with all that it started, after `timeout` seconds."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sending, kernels, settings, config, plan, objective), daemon=True)
    process.start()
    sending.close()  # so that its end is seen here
    try:
        if not receiving.poll(timeout):
            return {"failed": f"no answer within {format_seconds(timeout)}", "waited": timeout}
        return receiving.recv()
    except EOFError:
        return {"failed": "its process died"}
    finally:
        _end(process.pid)
        process.join()


def _measure(
    sending: Connection, kernels: Kernels, settings: TrainSettings, config: ModelConfig, plan: Plan, objective: Objective
) -> None:
    """Runs in the other process: random tokens cost what real ones do."""
    try:
        model = build(config)
        model.initialise(0)
        model.set_dropout(settings.dropout, settings.weight_dropout)
        model.to(kernels.device).train()
        optimizer, generator = Optimizer(model, settings), torch.Generator().manual_seed(0)
        tokens = torch.randint(config.vocabulary_size, (plan.batch_size, plan.context + 1), generator=generator)
        positions = torch.arange(plan.context).expand(plan.batch_size, -1).contiguous()
        segments = torch.zeros_like(positions, dtype=torch.int32) if plan.document_attention else None
        rows = torch.zeros(plan.batch_size, dtype=torch.int32)
        inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        batch = Batch(inputs, targets, positions, segments, rows, rows.bool(), targets.numel())

        def seconds(runner: torch.nn.Module) -> float:
            before = time.perf_counter()
            run_step(runner, optimizer, objective, batch, None, kernels, 0, rate=0.1)
            synchronize(torch.device(kernels.device))
            return time.perf_counter() - before

        plain = sorted(seconds(kernels.prepare(model)) for _ in range(TIMED_STEPS))[TIMED_STEPS // 2]
        runner = dataclasses.replace(kernels, compile=True).prepare(model)
        cost = seconds(runner) + seconds(runner)
        compiled = sorted(seconds(runner) for _ in range(TIMED_STEPS))[TIMED_STEPS // 2]
        sending.send({"plain": plain, "compiled": compiled, "cost": cost - 2 * compiled})
    except Exception as error:  # whatever torch, Triton or a C++ compiler raises
        lines = str(error).strip().splitlines()
        sending.send({"failed": f"{type(error).__name__}: {lines[0] if lines else ''}"})


def _end(pid: int | None) -> None:
    """Kill a process and all that it started: compilers run in processes of their own."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for child in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.Error):
                child.kill()
