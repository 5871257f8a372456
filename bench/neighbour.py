"""How much slower training and decoding become beside a neighbour: ours, and the same work as torch's defaults have it.

    python bench/neighbour.py [--only training|decoding] [--seconds 1.5] [--rounds 3] [--training 1m] [--decoding 30m]

The neighbours are one busy thread, and a torch job on all cores with torch's defaults. Each kind of work is a process of its
own, which is there all the time and takes its turns: in each round alone and beside each neighbour, each time as one that has
just begun, which works for a moment before it counts, so that it can have noticed the neighbour. `training` keeps its number of
threads, as a training does unless it is told otherwise, and `training, adapting` is one with train.threads = "adapt"; decoding
is one row of an engine's passes, by torch and by the C++ kernels. The peer is the same step and the same pass with torch loaded
first, so that its threads wait as it has them, all of them working. The machine has to be quiet otherwise. Prints a table of
medians, and one JSON line last, with `slowdown` and `peer_slowdown`: tokens a second alone, by those beside each neighbour in
the same round.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from decode_pipe import PeerError, Worker
from neighbour_work import TRAINED

NEIGHBOURS = {
    "alone": "",
    "busy thread": "print(flush=True)\nwhile True: pass",
    "torch job": "import torch\na, b = torch.randn(512, 512), torch.randn(256, 256)\nprint(flush=True)\n"
    "while True:\n    a @ a\n    torch.nn.functional.silu(b @ b)",
}
WORKS = {
    "training": ("training", "training, adapting", "peer training"),
    "decoding": ("decoding by torch", "decoding by the kernels", "peer decoding by torch"),
}
SETTLE_SECONDS, PEERS_SECONDS = 2.0, 0.5  # of work before it counts: ours has to notice the neighbour


class Neighbour:
    """A program beside others, at work only when it is told to be."""

    def __init__(self, code: str):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        self._process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout
        self._process.stdout.readline()  # it is at work
        self._process.send_signal(signal.SIGSTOP)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Meanwhile."""
        self._process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(WORKS), help="one half of it")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of measurements, of which the median counts")
    parser.add_argument("--training", default="1m", choices=sorted(TRAINED), help="size of the model that is trained")
    parser.add_argument("--decoding", default="30m", help="size of the model that writes")
    words = parser.parse_args()
    presets = {"training": words.training, "decoding": words.decoding}
    speeds: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in NEIGHBOURS}
    threads: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in NEIGHBOURS}
    with ExitStack() as at_end:
        works = {}
        for half in [words.only] if words.only else WORKS:
            for kind in WORKS[half]:
                worker = Worker(sys.executable, "neighbour_work.py", kind=kind, preset=presets[half])
                works[kind] = at_end.enter_context(worker)
        neighbours = {name: Neighbour(code) for name, code in NEIGHBOURS.items() if code}
        for neighbour in neighbours.values():
            at_end.callback(neighbour.close)
        for _ in range(words.rounds):
            for name in NEIGHBOURS:
                with neighbours[name].at_work() if name in neighbours else ExitStack():
                    for kind, worker in works.items():
                        settle = PEERS_SECONDS if kind.startswith("peer") else SETTLE_SECONDS
                        speeds[name][kind].append(worker.ask("measure", settle=settle, seconds=words.seconds))
                        threads[name][kind].append(worker.ask("threads"))
    slower: dict[str, dict[str, dict[str, float]]] = {"slowdown": {}, "peer_slowdown": {}}
    for name in neighbours:
        for kind in works:
            ratios = [alone / beside for alone, beside in zip(speeds["alone"][kind], speeds[name][kind], strict=True)]
            side = slower["peer_slowdown" if kind.startswith("peer") else "slowdown"].setdefault(name, {})
            side[kind.removeprefix("peer ")] = statistics.median(ratios)
    print(f"{'tokens/s':<24}" + "".join(f"{name:>24}" for name in speeds))
    for kind in works:
        cells = [f"{statistics.median(speeds['alone'][kind]):,.1f}"]
        for name in neighbours:
            side = slower["peer_slowdown" if kind.startswith("peer") else "slowdown"][name]
            cells.append(f"{statistics.median(speeds[name][kind]):,.1f} (1/{side[kind.removeprefix('peer ')]:.2f})")
        print(f"{kind:<24}" + "".join(f"{cell:>24}" for cell in cells))
    medians = {name: {kind: statistics.median(found) for kind, found in kinds.items()} for name, kinds in speeds.items()}
    print(json.dumps({"bench": "neighbour", "presets": presets, **slower, "tokens_per_second": medians, "threads": threads}))


if __name__ == "__main__":
    try:
        main()
    except PeerError as error:
        sys.exit(str(error))
