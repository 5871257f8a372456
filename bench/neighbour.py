"""How much slower training and decoding become beside a neighbour: ours, and the same work as torch's defaults have it.

    python bench/neighbour.py [--only training|decoding] [--seconds 3] [--rounds 1] [--training 1m] [--decoding 30m]

The neighbours are one busy thread, and a torch job on all cores with torch's defaults. Each measurement is a process of its
own, which works for a moment before it counts, so that it can have noticed the neighbour. `training` keeps its number of
threads, as a training does unless it is told otherwise, and `training, adapting` is one with train.threads = "adapt"; decoding
is one row of an engine's passes, by torch and by the C++ kernels. The peer is the same step and the same pass with torch loaded
first, so that its threads wait as it has them, all of them working. The machine has to be quiet otherwise. Prints a table, and
one JSON line last, with `slowdown` and `peer_slowdown`: tokens a second alone, by those beside each neighbour.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textmill.machine.threads import ThreadChoice

NEIGHBOURS = {
    "alone": "",
    "busy thread": "while True: pass",
    "torch job": "import torch\na, b = torch.randn(512, 512), torch.randn(256, 256)\n"
    "while True:\n    a @ a\n    torch.nn.functional.silu(b @ b)",
}
WORKS = {
    "training": ("training", "training, adapting", "peer training"),
    "decoding": ("decoding by torch", "decoding by the kernels", "peer decoding by torch"),
}
SETTLE_SECONDS = 2.0  # of work before it counts
TRAINED = {"1m": (16, 64, 96), "3m": (8, 256, 4096), "12m": (8, 256, 8192)}  # rows, context, vocabulary
LEAST_TURNS = 3


def train_step(preset: str, kind: str) -> tuple[Callable[[], int], "ThreadChoice"]:
    """One step of the training loop, which gives its tokens, and what chooses its threads."""
    import torch

    from textmill.machine.cores import usable_cores
    from textmill.machine.threads import ThreadChoice, torch_threads
    from textmill.models.architectures import build
    from textmill.models.settings import ModelSettings
    from textmill.tokens.loader import Batch
    from textmill.training.objectives import CausalObjective
    from textmill.training.optimizers import Optimizer
    from textmill.training.settings import TrainSettings
    from textmill.training.step import Kernels, run_step

    rows, context, vocabulary = TRAINED[preset]
    model = build(ModelSettings(preset=preset, context_length=context).config(vocabulary))
    model.initialise(0)
    kernels = Kernels("cpu", usable_cores(), "float32", "fused", micro_batch=rows, compile=False)
    tokens = torch.randint(vocabulary, (rows, context + 1), generator=torch.Generator().manual_seed(0))
    places, none = torch.arange(context).expand(rows, -1), torch.zeros(rows, dtype=torch.bool)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), places, None, none.int(), none, rows * context)
    optimizer, objective, runner = Optimizer(model, TrainSettings(steps=1)), CausalObjective(), kernels.prepare(model)
    threads = ThreadChoice(kernels.threads, usable_cores() if kind == "training, adapting" else None)

    def step() -> int:
        before = time.perf_counter()
        with torch_threads(threads.count):
            run_step(runner, optimizer, objective, batch, None, kernels, 0, rate=0.1)
        if not kind.startswith("peer"):
            threads.measure(batch.tokens, time.perf_counter() - before)
        return batch.tokens

    return step, threads


def decode_pass(preset: str, by_kernels: bool, adapting: bool) -> tuple[Callable[[], int], "ThreadChoice"]:
    """One pass that writes a token of one answer, which gives 1, and what chooses its threads."""
    import torch

    from textmill.inference.passes import Group, Passes
    from textmill.models.architectures import build
    from textmill.models.settings import ModelSettings

    model = build(ModelSettings(preset=preset, context_length=512).config(8192)).eval()
    model.initialise(0)
    passes = Passes(model, model.new_slots(1, 512), memory=2**34 if by_kernels else 0)
    if by_kernels and passes.native is None:
        sys.exit(passes.why_not)
    length = 0

    @torch.inference_mode()
    def turn() -> int:
        nonlocal length
        length = (length + 1) % 256
        before = time.perf_counter()
        with passes.workers.at_work():
            (states,) = passes.run([Group(0, [length], [[7]])])
            assert isinstance(states, torch.Tensor)
            passes.logits(states[0])
        if adapting:
            passes.workers.choice.measure(1, time.perf_counter() - before)
        return 1

    return turn, passes.workers.choice


def work(kind: str, preset: str, seconds: float) -> tuple[float, str]:
    """Tokens a second of one kind of work, in this process, and how many threads it worked with at the end."""
    peer = kind.startswith("peer")
    if peer:
        import torch  # noqa: F401  (before textmill, which would have chosen how its threads wait)
    turn, choice = train_step(preset, kind) if "training" in kind else decode_pass(preset, "kernels" in kind, adapting=not peer)
    settled = time.perf_counter() + SETTLE_SECONDS
    turns = 0
    while time.perf_counter() < settled or turns < LEAST_TURNS:
        turn()
        turns += 1
    began, tokens, turns = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds or turns < LEAST_TURNS:
        tokens, turns = tokens + turn(), turns + 1
    return tokens / (time.perf_counter() - began), f"{choice.count}{', waiting briefly' if choice.now.briefly else ''}"


@contextmanager
def beside(code: str, environment: dict[str, str]) -> Iterator[None]:
    """A neighbour that runs `code` meanwhile."""
    if not code:
        yield
        return
    neighbour = subprocess.Popen([sys.executable, "-c", code], env=environment)
    time.sleep(2.0)  # it has to be at work
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(WORKS), help="one half of it")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each, of which the median counts")
    parser.add_argument("--training", default="1m", choices=sorted(TRAINED), help="size of the model that is trained")
    parser.add_argument("--decoding", default="30m", help="size of the model that writes")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    words = parser.parse_args()
    presets = {"training": words.training, "decoding": words.decoding}
    if words.work:
        speed, threads = work(words.work, presets["training" if "training" in words.work else "decoding"], words.seconds)
        print(json.dumps({"tokens_per_second": speed, "threads": threads}))
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    kinds = WORKS[words.only] if words.only else [kind for kinds in WORKS.values() for kind in kinds]
    measured: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    threads: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(words.rounds):
        for neighbour, code in NEIGHBOURS.items():
            with beside(code, environment):
                for kind in kinds:
                    command = [sys.executable, __file__, "--work", kind, "--seconds", str(words.seconds)]
                    command += ["--training", words.training, "--decoding", words.decoding]
                    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
                    found = (
                        json.loads(done.stdout) if done.returncode == 0 else {"tokens_per_second": math.nan, "threads": "none"}
                    )
                    measured[neighbour][kind].append(found["tokens_per_second"])
                    threads[neighbour][kind].append(found["threads"])
    speeds = {
        neighbour: {kind: statistics.median(found) for kind, found in kinds.items()} for neighbour, kinds in measured.items()
    }
    slower: dict[str, dict[str, dict[str, float]]] = {"slowdown": {}, "peer_slowdown": {}}
    for neighbour in speeds.keys() - {"alone"}:
        for kind in kinds:
            side = slower["peer_slowdown" if kind.startswith("peer") else "slowdown"].setdefault(neighbour, {})
            side[kind.removeprefix("peer ")] = speeds["alone"][kind] / speeds[neighbour][kind]
    print(f"{'tokens/s':<24}" + "".join(f"{neighbour:>22}" for neighbour in speeds))
    for kind in kinds:
        cells = [f"{speed[kind]:,.1f} (1/{speeds['alone'][kind] / speed[kind]:.2f})" for speed in speeds.values()]
        print(f"{kind:<24}" + "".join(f"{cell:>22}" for cell in cells))
    if any(math.isnan(speed) for found in speeds.values() for speed in found.values()):
        sys.exit("a measurement failed: see above")
    print(json.dumps({"bench": "neighbour", "presets": presets, **slower, "tokens_per_second": speeds, "threads": threads}))


if __name__ == "__main__":
    main()
