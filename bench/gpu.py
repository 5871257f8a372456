"""A GPU beside its own limits and nanoGPT: training as a share of the matrix peak, decoding as a share of the memory's speed.

    python bench/gpu.py [--nanogpt DIR] [--sizes 124m,1b] [--seconds 20]

Both sizes have GPT-2's layout, a context of 1,024 and bfloat16 by autocast. Ours is the training loop's own step with layers
compiled, by AdamW, which the ratio is of, and by Muon, the default; with `--nanogpt` its own model and optimizer, compiled as
its bench does, with as many layers, widths, rows and tokens. Decoding: one row with weights in bfloat16, each token's step as
a CUDA graph and without one, beside the bound that reading weights and state sets. Each runs in a process of its own, one
after the other. Prints a table, one JSON line last (`mfu` is of the product that was measured, `peak_flops`); without a CUDA
device it says so and ends with exit code 2. It was written without one at hand: its figures are nobody's yet.
"""

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

import nanogpt
from textmill.benchmark import training
from textmill.inference.decode_graphs import DecodeGraphs
from textmill.machine.device import machine_name, synchronize
from textmill.machine.profile import peak_flops
from textmill.machine.speed import memory_bytes_per_second
from textmill.models.architectures import build
from textmill.models.count import count, state_bytes
from textmill.models.decoder import DecoderConfig
from textmill.models.settings import ModelSettings

CONTEXT, READ = 1024, 128  # tokens of a row in training, and of what a row has read before it decodes
SIZES = {"124m": ("85m", 16), "1b": ("1b", 8)}  # preset, and rows of a step
VOCABULARY = 50_304
TRAINING = ("adamw", "muon", "nanogpt")


def shape_of(size: str) -> DecoderConfig:
    """GPT-2's layout in one of SIZES."""
    shape = ModelSettings(architecture="gpt2", preset=SIZES[size][0], context_length=CONTEXT).config(VOCABULARY)
    assert isinstance(shape, DecoderConfig)
    return shape


def median_seconds(run: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Of at least five runs, after three that aren't counted."""
    taken: list[float] = []
    for _ in range(3):
        run()
    synchronize(device)
    started = time.perf_counter()
    while len(taken) < 5 or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        run()
        synchronize(device)
        taken.append(time.perf_counter() - before)
    return statistics.median(taken)


def nanogpt_step(checkout: Path, shape: DecoderConfig, rows: int, device: torch.device) -> Callable[[], object]:
    """What its bench.py does in a step, on random tokens that are there already; compiled, and with TF32, as there."""
    sys.path.insert(0, str(checkout))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    sizes = {"n_layer": shape.layers, "n_head": shape.heads, "n_embd": shape.width}
    model = GPT(GPTConfig(block_size=shape.context_length, vocab_size=shape.vocabulary_size, dropout=0.0, **sizes)).to(device)
    optimizer = model.configure_optimizers(1e-2, 1e-4, (0.9, 0.95), device.type)
    compiled = torch.compile(model)
    tokens = torch.randint(shape.vocabulary_size, (rows, shape.context_length + 1), device=device)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            _, loss = compiled(inputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def trained(runner: str, shape: DecoderConfig, rows: int, device: torch.device, seconds: float, checkout: Path | None) -> Any:
    """Tokens per second of training, and the operations that they took."""
    if runner == "nanogpt":
        assert checkout is not None
        run = nanogpt_step(checkout, shape, rows, device)
    else:
        run = training.step(runner, shape, rows, device, compile=True, optimizer=runner).run
    speed = rows * shape.context_length / median_seconds(run, seconds, device)
    return {"tokens_per_second": speed, "flops": speed * count(shape).needed_training_flops}


@torch.inference_mode()
def decoded(shape: DecoderConfig, device: torch.device, seconds: float) -> dict[str, float]:
    """Tokens per second of one row with a CUDA graph and without, and bytes that a token reads."""
    model = build(shape).to(device, torch.bfloat16).eval()
    slots = model.new_slots(1, shape.context_length)
    graphs, inputs = DecodeGraphs(model, slots), torch.zeros(1, 1, dtype=torch.int64, device=device)

    def recorded() -> object:
        hidden = graphs.hidden([0], [READ])
        if hidden is None:
            raise RuntimeError(f"the step can't be recorded as a CUDA graph: {graphs.failed}")
        return model.head(hidden[0, -1])

    def plain() -> object:
        return model.head(model.hidden(inputs, state=slots.view(0, [READ]))[0, -1])

    bytes = count(shape).decode_bytes(2.0) + state_bytes(shape, READ, 2)
    runs = {"plain": plain, "graph": recorded} if device.type == "cuda" else {"plain": plain}
    return {**{name: 1 / median_seconds(run, seconds, device) for name, run in runs.items()}, "bytes": bytes}


def work(
    pipe: Connection, what: str, shape: DecoderConfig, rows: int, device: str, seconds: float, checkout: Path | None
) -> None:
    """In a process of its own: one figure, or in words why there is none."""
    try:
        place = torch.device(device)
        pipe.send(decoded(shape, place, seconds) if what == "decode"
                  else trained(what, shape, rows, place, seconds, checkout))  # fmt: skip
    except Exception as error:  # whatever a compiler or a driver raises
        pipe.send(f"{type(error).__name__}: {error}")


def apart(what: str, *arguments: Any) -> dict[str, float]:
    """What `work` finds. Raises SystemExit with its words where it fails, or where what it finds is no number."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(sending, what, *arguments))
    process.start()
    sending.close()
    try:
        found = receiving.recv()
    except EOFError:
        found = "its process died"
    process.join()
    if isinstance(found, str) or not all(map(math.isfinite, found.values())):
        raise SystemExit(f"error: {what} was not measured: {found}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=nanogpt.checkout, help="a checkout of nanoGPT; without one there is no ratio")
    parser.add_argument("--sizes", default=",".join(SIZES), help="which of them, separated by commas")
    parser.add_argument("--seconds", type=float, default=20, help="that each figure is measured for")
    arguments = parser.parse_args()
    if unknown := set(arguments.sizes.split(",")) - set(SIZES):
        parser.error(f"--sizes: {', '.join(sorted(unknown))} unknown; write some of {', '.join(SIZES)}")
    if not torch.cuda.is_available():
        print("error: torch finds no CUDA device here, and these figures are of nothing else", file=sys.stderr)
        sys.exit(2)
    device = torch.device("cuda")
    peak, bandwidth = peak_flops(device, torch.bfloat16), memory_bytes_per_second(device)
    print(f"{machine_name(device)}: {peak / 1e12:.0f} TFLOP/s in a bfloat16 product, memory {bandwidth / 1e9:.0f} GB/s")
    torch.cuda.empty_cache()
    sizes: dict[str, Any] = {}
    for size in arguments.sizes.split(","):
        shape, rows = shape_of(size), SIZES[size][1]
        common = shape, rows, "cuda", arguments.seconds, arguments.nanogpt
        found: dict[str, Any] = {}
        for runner in TRAINING if arguments.nanogpt else TRAINING[:-1]:
            taken = apart(runner, *common)
            found[runner] = {"tokens_per_second": taken["tokens_per_second"], "mfu": taken["flops"] / peak}
            print(
                f"{size:>5} {runner:>8}: {taken['tokens_per_second']:>9,.0f} tokens/s, {taken['flops'] / peak:.0%} of the peak"
            )
        if arguments.nanogpt:
            found["over_nanogpt"] = found["adamw"]["tokens_per_second"] / found["nanogpt"]["tokens_per_second"]
            print(f"{size:>5} over nanoGPT: {found['over_nanogpt']:.2f} times the tokens a second")
        taken = apart("decode", *common)
        found["decode"] = {**taken, "share_of_bandwidth": taken["graph"] * taken["bytes"] / bandwidth}
        print(
            f"{size:>5}   decode: {taken['graph']:>9,.0f} tokens/s of one row, {found['decode']['share_of_bandwidth']:.0%} of "
            f"what memory allows; {taken['plain']:,.0f} without a graph"
        )
        sizes[size] = found
    machine = {"machine": machine_name(device), "peak_flops": peak, "memory_bytes_per_second": bandwidth}
    print(json.dumps({"bench": "gpu", **machine, "torch": torch.__version__, "sizes": sizes}))


if __name__ == "__main__":
    main()
