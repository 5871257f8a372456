"""From a command to its first token: whole processes of `textmill generate`, in each format of weights, and `textmill --help`.

    python bench/cold_start.py [--peer-python PYTHON] [--model sample:smollm2] [--runs 7] [--formats float32,int8,int4]

PYTHON has llama-cpp-python (bench/README.md), which answers from our export at equal precision; both are started in turn. The
files are in the system's cache; the first run in a format, which makes the packed weights, is told apart. Resident is the most
main memory that a process had, its mapped files included. Prints a table, what holds of the bounds, and one JSON line last.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from textmill.errors import TextmillError
from textmill.formats.sources import model_path
from textmill.machine.device import machine_name

PROMPT, TOKENS = "The history of", 3
PEERS = {"float32": "F32", "int8": "Q8_0", "int4": "Q4_0"}
MOST_SECONDS, MOST_HELP_SECONDS, MOST_MEMORY_BESIDES = 3.0, 0.3, 150e6


class Failed(TextmillError):
    """A process that was to be measured ended without its answer."""


def first_token(command: list[str]) -> tuple[float, int]:
    """Seconds from the command to the first piece of text behind the prompt, and the most memory in bytes."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    read = b""
    while len(read) <= len(PROMPT.encode()) and (piece := os.read(process.stdout.fileno(), 4096)):
        read += piece
    seconds = time.perf_counter() - began
    process.stdout.read()
    told = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or len(read) <= len(PROMPT.encode()):
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {told[-500:]}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def whole(command: list[str]) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def spread(values: list[float]) -> dict[str, float]:
    """Smallest, median and largest."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def linked(model: str, place: Path) -> Path:
    """A folder with a model's files in it, as links, so that its packed weights lie here."""
    source, folder = model_path(model).resolve(), place / "model"
    folder.mkdir()
    for file in source.iterdir():
        if file.suffix != ".packed":
            (folder / file.name).symlink_to(file)
    return folder


def measured(words: argparse.Namespace, place: Path) -> dict[str, Any]:
    """All figures, by what was started."""
    textmill = [sys.executable, "-m", "textmill"]
    folder, commands = linked(words.model, place), dict[str, list[str]]()
    for format in words.formats.split(","):
        kind = PEERS[format]
        options = ["--weights", format, "--max-tokens", str(TOKENS), "--temperature", "0"]
        commands[format] = [*textmill, "generate", str(folder), PROMPT, *options]
        if words.peer_python:
            file = place / f"{kind}.gguf"
            whole([*textmill, "export", str(folder), "--to", "gguf", "--out", str(file), "--dtype", kind])
            peer = str(Path(__file__).with_name("cold_llama_cpp.py"))
            commands[kind] = [words.peer_python, peer, str(file), PROMPT, str(TOKENS)]
    making = {format: first_token(commands[format])[0] for format in commands if format in PEERS}
    found: dict[str, list[tuple[float, int]]] = {who: [] for who in commands}
    for who in commands:
        first_token(commands[who])  # has its files in the system's cache from here on
    for _ in range(words.runs):
        for who, command in commands.items():
            found[who].append(first_token(command))
    help_seconds = [whole([*textmill, "--help"]) for _ in range(words.runs)]
    seconds = {who: spread([each for each, _ in runs]) for who, runs in found.items()}
    return {
        "first_token_seconds": seconds,
        "making_seconds": making,
        "help_seconds": spread(help_seconds),
        "resident_bytes": {who: max(each for _, each in runs) for who, runs in found.items()},
        "ratio": {
            ours: statistics.median(b / a for (a, _), (b, _) in zip(found[ours], found[theirs], strict=True))
            for ours, theirs in PEERS.items()
            if ours in found and theirs in found
        },
    }


def bounds(found: dict[str, Any]) -> dict[str, bool]:
    """What of the bounds holds."""
    resident = found["resident_bytes"]
    held = {
        f"first token, {who}": found["first_token_seconds"][who]["median"] <= MOST_SECONDS for who in found["making_seconds"]
    }
    for ours, theirs in PEERS.items():
        if ours in resident and theirs in resident:
            held[f"memory, {ours}"] = resident[ours] <= resident[theirs] + MOST_MEMORY_BESIDES
    return {**held, "help": found["help_seconds"]["median"] <= MOST_HELP_SECONDS}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="a Python that has llama-cpp-python")
    parser.add_argument("--model", default="sample:smollm2")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--formats", default=",".join(PEERS), help="those of weights that are measured")
    words = parser.parse_args()
    if strange := set(words.formats.split(",")) - PEERS.keys():
        parser.error(f"--formats are {', '.join(PEERS)}; found {', '.join(strange)}")
    with tempfile.TemporaryDirectory(prefix="cold-start-") as place:
        try:
            found = measured(words, Path(place))
        except (TextmillError, subprocess.CalledProcessError) as error:
            sys.exit(f"error: {error}")
    for who, of in found["first_token_seconds"].items():
        made = f", {found['making_seconds'][who]:.2f} s where its file is made" if who in PEERS else ""
        memory = found["resident_bytes"][who] / 1e6
        side = "textmill" if who in PEERS else "llama.cpp"
        print(f"{side:<11}{who:<9}{of['median']:6.2f} s ({of['min']:.2f} to {of['max']:.2f}), {memory:5,.0f} MB{made}")
    print("textmill --help   {median:.2f} s ({min:.2f} to {max:.2f})".format(**found["help_seconds"]))
    found["bounds"] = bounds(found)
    for name, held in found["bounds"].items():
        print(f"  {'holds' if held else 'MISSED'}: {name}")
    print(json.dumps({"bench": "cold_start", "machine": machine_name(torch.device("cpu")), "runs": words.runs, **found}))


if __name__ == "__main__":
    main()
