"""The whole benchmark: the machine's limits first, then training, decoding and text, each beside the limit that it meets.

It takes as long as it is given, and no longer, however slow the machine: each measurement has a share of the time that is left
when its turn comes, and what would outgrow it is left out, by its name and with the reason (allowance.py).
"""

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
from .allowance import Allowance
from .measurement import Case, Group, Measurement, Missing, measure

VERSION = 1  # of what is measured and how: figures of different versions don't compare
PARTS = ("limits", "training", "decoding", "text")
PROBES = 300  # one look at a limit takes this part of the time
ARRAYS_SETUP = 3.0  # seconds, usually, until the arrays over which memory is measured are written for the first time


def expected(parts: tuple[str, ...], device: torch.device) -> int:
    """How many measurements these parts are; the limits are always measured."""
    return sum(len(group.names) for group in groups(parts, device, 1.0))


def run(parts: tuple[str, ...], seconds: float) -> Iterator[Measurement | Missing]:
    """Measure `parts` of PARTS in `seconds`; the limits always, which all else stands beside. What the machine can do at best
    is remembered."""
    device = best_device()
    with torch_threads(usable_cores()):
        known: dict[str, float] = {}
        for found in measured(groups(parts, device, seconds / PROBES), Allowance(seconds, expected(parts, device)), known):
            if isinstance(found, Measurement) and found.part == "limits":
                key = memory_key(device) if found.name == MEMORY else products_key(device, _format(found))
                remember(key, max(found.rates), found.crowded)
            yield found


def measured(groups: Iterator[Group], allowance: Allowance, known: dict[str, float]) -> Iterator[Measurement | Missing]:
    """Each case of the groups, measured or missing, within the allowance. The best rates of the limits are put into `known`:
    whatever comes between can only make a run slower."""
    for group in groups:
        room, setup = allowance.room(len(group.names)), allowance.expected(group.setup)
        if setup > room / 2:
            why = allowance.why_not(setup, room)
            allowance.done(len(group.names))
            yield from (Missing(group.part, name, why) for name in group.names)
            continue
        for found in _measured(group, allowance, known):
            if isinstance(found, Measurement) and found.part == "limits":
                known[_format(found)] = max(found.rates)
                if _format(found) == "float32":
                    allowance.learn_speed(max(found.rates))
            yield found


def _measured(group: Group, allowance: Allowance, known: dict[str, float]) -> Iterator[Measurement | Missing]:
    """The cases of one group; what it was set up with is given back behind them."""
    began = allowance.clock()
    for number, case in enumerate(group.make()):
        if number == 0:
            allowance.learn(group.setup, allowance.clock() - began)
        limits = Limits(known, known.get(MEMORY, 0.0))
        found = case if isinstance(case, Missing) else measure(case, allowance, limits)
        allowance.done()
        yield found


def groups(parts: tuple[str, ...], device: torch.device, look: float) -> Iterator[Group]:
    """What is measured, in its order; a limit by looks of `look` seconds."""
    for format in _formats(device):
        name = f"{format} products"
        yield Group("limits", (name,), 0.0, partial(_products, device, format, name, look))
    yield Group("limits", (MEMORY,), ARRAYS_SETUP, partial(_memory, device, look))
    makers: dict[str, Callable[[torch.device], Iterator[Group]]] = {
        "training": training.groups,
        "decoding": decoding.groups,
        "text": text.groups,
    }
    for part, maker in makers.items():
        if part in parts:
            yield from maker(device)


def _formats(device: torch.device) -> tuple[str, ...]:
    """Number formats whose products something here is limited by."""
    return ("bfloat16",) if device.type == "cuda" else ("float32", "int8")


def _format(found: Measurement) -> str:
    """The limit that was measured, as the cases name it."""
    return found.name.removesuffix(" products")


def _products(device: torch.device, format: str, name: str, look: float) -> Iterator[Case | Missing]:
    rate = partial(matrix_flops, device, getattr(torch, format), look)
    try:
        rate()
    except (RuntimeError, TypeError, AttributeError) as error:  # AttributeError: torch's product of int8 is not public
        yield Missing("limits", name, f"torch has none here: {first_line(error)}")
        return
    yield Case("limits", name, "operations/s", rate, rated=True)


def _memory(device: torch.device, look: float) -> Iterator[Case]:
    yield Case("limits", MEMORY, "bytes/s", partial(Streams(device).bytes_per_second, look), rated=True)
