"""The verb that measures the same work on every machine."""

import json
import sys
import time
from typing import Annotated

import typer

from ..errors import TextmillError, nearest
from .app import app

SECONDS = 110.0


@app.command()
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Only training, decoding or text; may be given many times."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="How long it may take; what would take longer is left out, by its name.")
    ] = SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts, instead of the table.")] = False,
) -> None:
    """Measure training, decoding and text on this machine, in two minutes, beside what it can do at best."""
    import psutil

    from .. import __version__
    from ..benchmark.bench import PARTS, VERSION, expected, run
    from ..benchmark.measurement import Measurement, Missing
    from ..benchmark.table import as_json as entries
    from ..benchmark.table import table
    from ..interruption import Stopped, stoppable
    from ..machine.device import best_device
    from ..machine.environment import memory, processor, versions
    from ..machine.kernels import devices
    from ..machine.profile import machine_key
    from ..native.probe import probe
    from ..progress import Progress

    parts = tuple(only or PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        raise TextmillError(*(f"there is no part {part!r}{nearest(part, PARTS)}; write {', '.join(PARTS)}" for part in unknown))
    started, total, stopped = psutil.Process().create_time(), expected(parts, best_device()), None
    looks = {"textmill": versions, "processor": processor, "memory": memory, "device": devices, "kernels": probe}
    machine: dict[str, str] = {}
    found: list[Measurement | Missing] = []
    try:
        with stoppable(), Progress("bench", total, "measurements", sys.stderr) as progress:
            machine |= {name: "; ".join(finding.text for finding in look()) for name, look in looks.items()}
            if not as_json:
                print(f"textmill bench, version {VERSION}: figures of different versions don't compare\n")
                print("\n".join(f"  {name:<10} {text}" for name, text in machine.items()), flush=True)
            for one in run(parts, seconds - (time.time() - started)):
                found.append(one)
                progress.advance(1, f"{one.part}: {one.name}")
    except Stopped as request:
        stopped = request
    taken = time.time() - started
    if as_json:
        head = {"bench": "textmill", "version": VERSION, "textmill": __version__, "key": machine_key(), "machine": machine}
        ended = {"seconds": round(taken, 1), "complete": stopped is None}
        print(json.dumps({**head, **ended, "measurements": entries(found)}, ensure_ascii=False))
    else:
        print(f"\n{table(found)}\n\n{len(found)} of {total} measurements in {taken:.0f} s")
    if stopped is not None:
        raise stopped
