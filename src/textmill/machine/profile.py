"""What this machine remembers of itself, so that nothing is measured twice and the same command chooses the same tomorrow.

One small file a user, by processor, usable cores, torch version and accelerator: where one of them changes, all is measured
anew. What was measured beside a busy neighbour is kept, marked, and not believed. `textmill doctor` forgets and measures
anew.

How it is meant: where a choice takes measuring, ask `recall` first; if that gives None, measure inside a `Neighbours`
watch, and `remember` with its `crowded()`. Keys name all that the value depends on, such as `flops/cpu/float32`.
"""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import platformdirs
import torch

from ..files import write_json
from .cores import usable_cores
from .device import best_device, machine_name
from .neighbours import Neighbours
from .speed import matrix_flops
from .threads import torch_threads

VERSION = 1
MACHINES = 16  # remembered at most: a home folder may be shared by many


def profile_file() -> Path:
    """Where it is remembered."""
    return platformdirs.user_state_path("textmill") / "machine.json"


def machine_key() -> str:
    """What a measurement holds for: processor, usable cores, torch version, accelerator."""
    cpu, device = torch.device("cpu"), best_device()
    accelerator = f", {machine_name(device)}" if device.type != "cpu" else ""
    return f"{machine_name(cpu)}, {usable_cores()} cores{accelerator}, torch {torch.__version__}"


def recall(key: str) -> Any | None:
    """The remembered value, as JSON has it; None where there is none, or where it was measured beside a busy neighbour."""
    entry = _read().get(machine_key(), {}).get(key)
    return None if entry is None or entry["noisy"] else entry["value"]


def remember(key: str, value: Any, noisy: bool) -> None:
    """Remember a JSON value for this machine; `noisy` says that others were using it meanwhile.

    A noisy value never takes a quiet one's place. A cache that can't be written is no error: it is measured anew next time.
    """
    machines = _read()
    here = machines.pop(machine_key(), {})
    if not (noisy and key in here and not here[key]["noisy"]):
        here[key] = {"value": value, "noisy": noisy, "measured": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    newest = dict([*machines.items(), (machine_key(), here)][-MACHINES:])
    with contextlib.suppress(OSError):
        write_json(profile_file(), {"version": VERSION, "machines": newest})


def forget() -> None:
    """Forget all that was measured on this machine."""
    machines = _read()
    if machines.pop(machine_key(), None) is not None:
        with contextlib.suppress(OSError):
            write_json(profile_file(), {"version": VERSION, "machines": machines})


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product on all usable cores, remembered or measured now."""
    key = products_key(device, str(dtype).removeprefix("torch."))
    known = recall(key)
    if isinstance(known, float) and known > 0:
        return known
    neighbours = Neighbours()
    with torch_threads(usable_cores()):
        measured = matrix_flops(device, dtype)
    remember(key, measured, neighbours.crowded())
    return measured


def products_key(device: torch.device, format: str) -> str:
    """Where the operations per second of a matrix product in a number format are remembered."""
    return f"flops/{device.type}/{format}"


def memory_key(device: torch.device) -> str:
    """Where the bytes per second to and from a device's memory are remembered."""
    return f"memory/{device.type}"


def _read() -> dict[str, dict[str, Any]]:
    """All machines' entries. A damaged file is forgotten, and that is said."""
    path = profile_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = [entry for here in content["machines"].values() for entry in here.values()]
        if content["version"] == VERSION and all(entry.keys() == {"value", "noisy", "measured"} for entry in entries):
            return content["machines"]
        problem = "it is of another version, or incomplete"
    except OSError:  # there is none, or it isn't ours to read
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    said = f"What this machine remembers of its speed can't be read and is measured anew ({path}: {problem})"
    print(said, file=sys.stderr)  # standard output may be a script's JSON
    with contextlib.suppress(OSError):
        path.unlink()
    return {}
