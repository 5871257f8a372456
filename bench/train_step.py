"""Training speed at three sizes: tokens per second, the share of this machine's measured matrix peak, and a peer beside it.

    python bench/train_step.py [--steps 5] [--sizes 3m,12m,85m]

The step is the one of the training loop, once with AdamW and once with Muon, which learns more from a step and costs more work.
The peer is what one would write with stock transformers: `Qwen3ForCausalLM` of the same shape, `labels=`, torch's fused AdamW;
its steps alternate with ours, and the ratio is that of AdamW to AdamW. Prints a table, and one JSON line last. Measure on a
quiet machine: a busy neighbour makes torch many times slower.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from textmill.formats.layouts.llama import Qwen3Layout
from textmill.machine.cores import usable_cores
from textmill.machine.device import best_device, machine_name, synchronize
from textmill.machine.profile import peak_flops
from textmill.models.count import count
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.models.settings import ModelSettings
from textmill.tokens.loader import Batch
from textmill.training.objectives import CausalObjective
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings
from textmill.training.step import Kernels, run_step

SIZES = {"3m": (8, 256, 4096), "12m": (8, 256, 8192), "85m": (2, 512, 32768)}  # rows, context, vocabulary


def our_step(config: DecoderConfig, batch: Batch, kernels: Kernels, optimizer_name: str) -> Callable[[], None]:
    """The training loop's own step."""
    model = Decoder(config)
    model.initialise(0)
    model.to(kernels.device)
    optimizer, objective = Optimizer(model, TrainSettings(steps=1, optimizer=optimizer_name)), CausalObjective()
    runner = kernels.prepare(model)
    return lambda: run_step(runner, optimizer, objective, batch, None, kernels, 0, rate=0.1) and None


def peer_step(config: DecoderConfig, batch: Batch, kernels: Kernels) -> Callable[[], None]:
    """Stock transformers and AdamW on the same batch."""
    shape = Qwen3Config(vocab_size=config.vocabulary_size, **Qwen3Layout().settings(config))
    model = Qwen3ForCausalLM(shape).to(kernels.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    tokens = batch.inputs.to(kernels.device)

    def step() -> None:
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(preset: str, steps: int, device: torch.device) -> dict[str, float]:
    """The medians of `steps` whole steps (forward, backward, update) of each, in turn, after one that is not counted."""
    rows, context, vocabulary = SIZES[preset]
    config = ModelSettings(preset=preset, context_length=context).config(vocabulary)
    kernels = Kernels(device.type, usable_cores(), "float32", "fused", micro_batch=rows, compile=False)
    tokens = torch.randint(vocabulary, (rows, context + 1), generator=torch.Generator().manual_seed(0))
    places, none = torch.arange(context).expand(rows, -1), torch.zeros(rows, dtype=torch.bool)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), places, None, none.int(), none, rows * context)
    runners = {name: our_step(config, batch, kernels, name) for name in ("adamw", "muon")}
    runners["peer"] = peer_step(config, batch, kernels)
    taken: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(steps + 1):
        for name, runner in runners.items():
            before = time.perf_counter()
            runner()
            synchronize(device)
            taken[name].append(time.perf_counter() - before)
    seconds = {name: statistics.median(times[1:]) for name, times in taken.items()}
    cost = count(config)
    return {
        "parameters": cost.parameters,
        "tokens_per_second": rows * context / seconds["adamw"],
        "muon_tokens_per_second": rows * context / seconds["muon"],
        "peer_tokens_per_second": rows * context / seconds["peer"],
        "times_the_peer": seconds["peer"] / seconds["adamw"],
        "flops": cost.needed_training_flops * rows * context / seconds["adamw"],  # the optimizer's own work isn't counted
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="steps counted at each size")
    parser.add_argument("--sizes", default=",".join(SIZES), help="which of them, separated by commas")
    arguments = parser.parse_args()
    device = best_device()
    peak = peak_flops(device, torch.float32)
    print(f"{machine_name(device)}, {peak / 1e9:.0f} GFLOP/s in a float32 matrix product")
    sizes = {}
    for preset in arguments.sizes.split(","):
        result = measure(preset, arguments.steps, device)
        sizes[preset] = {**result, "share_of_peak": result["flops"] / peak}
        print(
            f"{preset:>4}: {result['parameters'] / 1e6:6.1f} M parameters  "
            f"{result['tokens_per_second']:9,.0f} tokens/s  {result['flops'] / peak:.0%} of peak  "
            f"{result['times_the_peer']:.2f} times stock transformers  "
            f"({result['muon_tokens_per_second']:,.0f} tokens/s with Muon)"
        )
    print(json.dumps({"bench": "train_step", "machine": machine_name(device), "peak_flops": peak, "sizes": sizes}))


if __name__ == "__main__":
    main()
