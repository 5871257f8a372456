"""The whole benchmark: the machine's limits first, then training, decoding and text, each beside the limit that it meets.

It takes as long as it is given: each measurement has an equal share of the time that is left when its turn comes, so that a
slow one costs the others runs and not the user minutes.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch

from ..machine.cores import usable_cores
from ..machine.device import best_device
from ..machine.kernels import first_line
from ..machine.limits import MEMORY, Limits
from ..machine.profile import memory_key, products_key, remember
from ..machine.speed import Streams, matrix_flops
from ..machine.threads import torch_threads
from . import decoding, text, training
from .measurement import Case, Measurement, Missing, measure

VERSION = 1  # of what is measured and how: figures of different versions don't compare
PARTS = ("limits", "training", "decoding", "text")
PROBES = 300  # one look at a limit takes this part of the time


def expected(parts: tuple[str, ...], device: torch.device) -> int:
    """How many measurements these parts are; the limits are always measured."""
    counts = {"training": len(training.SIZES), "decoding": len(decoding.names(device)), "text": 2}
    return len(_formats(device)) + 1 + sum(counts[part] for part in parts if part in counts)


def run(parts: tuple[str, ...], seconds: float) -> Iterator[Measurement | Missing]:
    """Measure `parts` of PARTS in about `seconds`; the limits always, which all else stands beside. What the machine can do
    at best is remembered."""
    device, deadline = best_device(), time.monotonic() + seconds
    left = expected(parts, device)
    with torch_threads(usable_cores()):
        known: dict[str, float] = {}
        for found in _all(parts, device, seconds):
            share = max(0.0, deadline - time.monotonic()) / max(1, left)
            left -= 1
            if isinstance(found, Missing):
                yield found
                continue
            measured = measure(found, share, Limits(known, known.get(MEMORY, 0.0)))
            if measured.part == "limits":
                _keep(measured, known, device)
            yield measured


def _all(parts: tuple[str, ...], device: torch.device, seconds: float) -> Iterator[Case | Missing]:
    yield from _limits(device, seconds / PROBES)
    makers: dict[str, Callable[[], Iterator[Case | Missing]]] = {
        "training": partial(training.cases, device),
        "decoding": partial(decoding.cases, device),
        "text": text.cases,
    }
    for part, cases in makers.items():
        if part in parts:
            yield from cases()


def _formats(device: torch.device) -> tuple[str, ...]:
    """Number formats whose products something here is limited by."""
    return ("bfloat16",) if device.type == "cuda" else ("float32", "int8")


def _limits(device: torch.device, seconds: float) -> Iterator[Case | Missing]:
    for format in _formats(device):
        look = partial(matrix_flops, device, getattr(torch, format), seconds)
        try:
            look()
        except (RuntimeError, TypeError, AttributeError) as error:  # AttributeError: torch's product of int8 is not public
            yield Missing("limits", f"{format} products", f"torch has none here: {first_line(error)}")
            continue
        yield Case("limits", f"{format} products", "operations/s", look, rated=True)
    yield Case("limits", MEMORY, "bytes/s", partial(Streams(device).bytes_per_second, seconds), rated=True)


def _keep(found: Measurement, known: dict[str, float], device: torch.device) -> None:
    """The best of its runs is the limit: whatever comes between can only make a run slower."""
    name, best = found.name.removesuffix(" products"), max(found.rates)
    known[name] = best
    key = memory_key(device) if name == MEMORY else products_key(device, name)
    remember(key, best, found.crowded)
