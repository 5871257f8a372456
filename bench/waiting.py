"""How torch's threads bear neighbours: one layer's work by wait policy and number of threads, beside busy programs.

    python bench/waiting.py [--neighbours 2] [--seconds 3] [--rounds 2]

Policies take turns, each in a process of its own, since OpenMP reads them once. Prints a table, and one JSON line last.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict

from textmill.machine.cores import usable_cores

BUSY = "while True: pass"
# Products and small operations in turn, as a training step has them: each starts and ends a parallel part.
WORK = """
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
inputs, weights, taken = torch.randn(2048, 256), torch.randn(256, 256), []
end = time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < end or len(taken) < 3:
    before = time.perf_counter()
    for _ in range(20):
        torch.nn.functional.silu(inputs @ weights)
    taken.append((time.perf_counter() - before) / 20)
print(sorted(taken)[len(taken) // 2])
"""


def measure(policy: str | None, threads: int, seconds: float) -> float:
    """The median of the seconds that one layer's work takes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, "-c", WORK, str(threads), str(seconds)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", type=int, default=1, help="busy programs started beside it")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each")
    words = parser.parse_args()
    neighbours = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(words.neighbours)]
    taken = defaultdict(list)
    try:
        for _ in range(words.rounds):
            for policy, threads in ((None, usable_cores()), ("passive", usable_cores()), ("active", usable_cores()), (None, 1)):
                taken[f"{policy or 'not set'}, {threads} threads"].append(measure(policy, threads, words.seconds))
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in taken.items()}
    for name, value in milliseconds.items():
        print(f"{name:<22} {value:8.2f} ms")
    print(json.dumps({"bench": "waiting", "neighbours": words.neighbours, "milliseconds": milliseconds}))


if __name__ == "__main__":
    main()
