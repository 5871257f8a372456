"""A GPU beside its own limits: training as a share of the matrix peak, decoding as a share of the memory's speed.

    python bench/gpu.py [--sizes 124m,1b] [--seconds 20] [--compile]

Training: bfloat16 by autocast, fused attention, GPT-2's 124 M shape at a context of 1,024 and the preset 1b. Decoding: one row,
weights in bfloat16, each token's step as a CUDA graph and without. Prints a table, one JSON line last; without a CUDA device
it says so and ends with exit code 2. It was written without one at hand: its figures are nobody's yet.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch

from textmill.benchmark import training
from textmill.inference.decode_graphs import DecodeGraphs
from textmill.machine.device import machine_name
from textmill.machine.profile import peak_flops
from textmill.machine.speed import memory_bytes_per_second
from textmill.models.architectures import build
from textmill.models.count import count, state_bytes
from textmill.models.decoder import DecoderConfig
from textmill.models.settings import ModelSettings

CONTEXT, READ = 1024, 128  # tokens of a row in training, and of what a row has read before it decodes
SIZES = {"124m": ("gpt2", "85m", 50_304, 16), "1b": ("qwen3", "1b", 32_768, 4)}  # architecture, preset, vocabulary, rows


def shape_of(size: str) -> DecoderConfig:
    architecture, preset, vocabulary, _ = SIZES[size]
    shape = ModelSettings(architecture=architecture, preset=preset, context_length=CONTEXT).config(vocabulary)
    assert isinstance(shape, DecoderConfig)
    return shape


def median_seconds(run: Callable[[], object], seconds: float) -> float:
    """Of at least five runs, after three that aren't counted."""
    taken: list[float] = []
    for _ in range(3):
        run()
    started = time.perf_counter()
    while len(taken) < 5 or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        run()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - before)
    return statistics.median(taken)


@torch.inference_mode()
def decoding(shape: DecoderConfig, seconds: float, bandwidth: float) -> dict[str, float]:
    """Tokens per second of one row with a CUDA graph and without, and the share of the bound that reading the weights sets."""
    model = build(shape).to("cuda", torch.bfloat16).eval()
    slots = model.new_slots(1, CONTEXT)
    graphs, inputs = DecodeGraphs(model, slots), torch.zeros(1, 1, dtype=torch.int64, device="cuda")

    def recorded() -> object:
        hidden = graphs.hidden([0], [READ])
        if hidden is None:
            sys.exit(f"error: the step can't be recorded as a CUDA graph: {graphs.failed}")
        return model.head(hidden[0, -1])

    def plain() -> object:
        return model.head(model.hidden(inputs, state=slots.view(0, [READ]))[0, -1])

    bytes = count(shape).decode_bytes(2.0) + state_bytes(shape, READ, 2)
    speeds = {"graph": 1 / median_seconds(recorded, seconds), "plain": 1 / median_seconds(plain, seconds)}
    return {**speeds, "share_of_bandwidth": speeds["graph"] * bytes / bandwidth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SIZES), help="which of them, separated by commas")
    parser.add_argument("--seconds", type=float, default=20, help="that each figure is measured for")
    parser.add_argument("--compile", action="store_true", help="train with torch.compile")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("error: torch finds no CUDA device here, and these figures are of nothing else", file=sys.stderr)
        sys.exit(2)
    device = torch.device("cuda")
    peak, bandwidth = peak_flops(device, torch.bfloat16), memory_bytes_per_second(device)
    print(f"{machine_name(device)}: {peak / 1e12:.0f} TFLOP/s in a bfloat16 product, memory {bandwidth / 1e9:.0f} GB/s")
    found = {}
    for size in arguments.sizes.split(","):
        shape = shape_of(size)
        case = training.step(size, shape, SIZES[size][3], device, compile=arguments.compile)
        taken = median_seconds(case.run, arguments.seconds)
        of_decoding = decoding(shape, arguments.seconds / 2, bandwidth)
        found[size] = {
            "train_tokens_per_second": case.amount / taken,
            "share_of_peak": case.operations / taken / peak,
            **{f"decode_{name}": value for name, value in of_decoding.items()},
        }
        print(
            f"{size:>5}: training {case.amount / taken:,.0f} tokens/s, {found[size]['share_of_peak']:.0%} of the peak; one row "
            f"{of_decoding['graph']:,.0f} tokens/s, {of_decoding['share_of_bandwidth']:.0%} of what memory allows, "
            f"{of_decoding['plain']:,.0f} without a graph"
        )
        del case
        torch.cuda.empty_cache()
    machine = {"machine": machine_name(device), "peak_flops": peak, "memory_bytes_per_second": bandwidth}
    print(json.dumps({"bench": "gpu", **machine, "compile": arguments.compile, "sizes": found}))


if __name__ == "__main__":
    main()
