"""Training speed at three sizes: tokens per second and the share of this machine's measured matrix peak.

    python bench/train_step.py [--steps 5]

Prints a table, and one JSON line last. Measure on a quiet machine: a busy neighbour makes torch many times slower.
"""

import argparse
import json
import statistics
import time

import torch

from textmill.machine.cores import usable_cores
from textmill.machine.device import best_device, machine_name, synchronize
from textmill.machine.profile import peak_flops
from textmill.models.count import count
from textmill.models.decoder import Decoder
from textmill.models.settings import ModelSettings
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings

SIZES = {"3m": (8, 256, 4096), "12m": (8, 256, 8192), "85m": (2, 512, 32768)}  # rows, context, vocabulary


def measure(preset: str, steps: int, device: torch.device) -> dict[str, float]:
    """The median of `steps` whole steps (forward, backward, update), after one that is not counted."""
    rows, context, vocabulary = SIZES[preset]
    config = ModelSettings(preset=preset, context_length=context).decoder_config(vocabulary)
    model = Decoder(config)
    model.initialise(0)
    model.to(device)
    optimizer = Optimizer(model, TrainSettings(steps=1))
    inputs = torch.randint(vocabulary, (rows, context + 1), generator=torch.Generator().manual_seed(0)).to(device)
    taken = []
    for step in range(steps + 1):
        before = time.perf_counter()
        (model(inputs[:, :-1], inputs[:, 1:].contiguous()) / (rows * context)).backward()
        optimizer.step(step, rate=1.0)
        optimizer.zero_gradients()
        synchronize(device)
        taken.append(time.perf_counter() - before)
    seconds = statistics.median(taken[1:])
    cost = count(config)
    flops = cost.needed_training_flops * rows * context  # the optimizer's own work isn't counted
    return {"parameters": cost.parameters, "tokens_per_second": rows * context / seconds, "flops": flops / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="steps counted at each size")
    steps = parser.parse_args().steps
    device = best_device()
    torch.set_num_threads(usable_cores())
    torch.set_flush_denormal(True)
    peak = peak_flops(device, torch.float32)
    print(f"{machine_name(device)}, {peak / 1e9:.0f} GFLOP/s in a float32 matrix product")
    sizes = {}
    for preset in SIZES:
        result = measure(preset, steps, device)
        sizes[preset] = {**result, "share_of_peak": result["flops"] / peak}
        print(
            f"{preset:>4}: {result['parameters'] / 1e6:6.1f} M parameters  "
            f"{result['tokens_per_second']:9,.0f} tokens/s  {result['flops'] / peak:.0%} of peak"
        )
    print(json.dumps({"bench": "train_step", "machine": machine_name(device), "peak_flops": peak, "sizes": sizes}))


if __name__ == "__main__":
    main()
