"""Training speed at three sizes: tokens per second, the share of this machine's measured matrix peak, and peers beside it.

    python bench/train_step.py --nanogpt DIR [--steps 5] [--sizes 3m,12m,gpt2]

Each runs in a process of its own, whose peak memory is its own too, and they take whole steps (forward, backward, update) in
turn:

- ours: the training loop's step of the default layout (Qwen3's), with AdamW and with Muon, which learns more from it; and of
  nanoGPT's own layout with AdamW (`same`), the same function as its;
- nanoGPT: its model.py and its `configure_optimizers`, of as many layers, widths and tokens, without biases; from a checkout;
- the Hugging Face Trainer with `Qwen3ForCausalLM` of our default's shape.

Ratios are of tokens a second: our step in nanoGPT's layout over nanoGPT's, our default's with AdamW over the Trainer's, and the
default's over nanoGPT's besides, whose gates and turns are more work. Memory is what a process takes beyond its imports. Prints
a table, and one JSON line last. Measure on a quiet machine: a busy neighbour makes torch many times slower.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch

import nanogpt
from textmill.formats.layouts.llama import Qwen3Layout
from textmill.machine.cores import usable_cores
from textmill.machine.device import best_device, machine_name, synchronize
from textmill.machine.profile import peak_flops
from textmill.models.count import count
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.models.settings import ModelSettings
from textmill.native.library import NoKernels
from textmill.native.probe import training_tried
from textmill.tokens.loader import Batch
from textmill.training.objectives import CausalObjective
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings
from textmill.training.step import Kernels, run_step

SIZES = {  # preset, rows, context, vocabulary
    "3m": ("3m", 8, 256, 4096),
    "12m": ("12m", 8, 256, 8192),
    "gpt2": ("85m", 1, 1024, 50304),
}
NANOGPT_LAYOUT = {
    "positions": "learned", "norm": "layer", "norm_epsilon": 1e-5, "query_key_norm": False, "activation": "gelu",
    "gated": False, "tied_embeddings": True,
}  # fmt: skip
RUNNERS = ("default", "muon", "same", "nanogpt", "trainer")


def shape(size: str, layout: str) -> DecoderConfig:
    preset, _, context, vocabulary = SIZES[size]
    config = ModelSettings(preset=preset, context_length=context).config(vocabulary)
    assert isinstance(config, DecoderConfig)
    if layout == "same":
        width = 4 * config.width
        return DecoderConfig(**{**vars(config), **NANOGPT_LAYOUT, "feed_forward_width": width})
    return config


def tokens_of(size: str) -> torch.Tensor:
    _, rows, context, vocabulary = SIZES[size]
    return torch.randint(vocabulary, (rows, context + 1), generator=torch.Generator().manual_seed(0))


def our_step(size: str, layout: str, optimizer_name: str) -> Callable[[], None]:
    """The training loop's own step."""
    config, tokens, device = shape(size, layout), tokens_of(size), best_device()
    rows, context = len(tokens), tokens.size(1) - 1
    try:
        native = training_tried() if device.type == "cpu" else "torch"
    except NoKernels as error:
        print(f"measured by torch alone: {error}", file=sys.stderr)
        native = "torch"
    kernels = Kernels(device.type, usable_cores(), "float32", "fused", micro_batch=rows, compile=False, native=native)
    places, none = torch.arange(context).expand(rows, -1), torch.zeros(rows, dtype=torch.bool)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), places, None, none.int(), none, rows * context)
    model = Decoder(config)
    model.initialise(0)
    model.to(device)
    optimizer, objective = Optimizer(model, TrainSettings(steps=1, optimizer=optimizer_name)), CausalObjective()
    runner = kernels.prepare(model)
    return lambda: run_step(runner, optimizer, objective, batch, None, kernels, 0, rate=0.1) and None


def nanogpt_step(size: str, checkout: Path) -> Callable[[], None]:
    """What its train.py does in a step."""
    sys.path.insert(0, str(checkout))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    config, tokens, device = shape(size, "same"), tokens_of(size).to(best_device()), best_device()
    model = GPT(
        GPTConfig(
            block_size=config.context_length, vocab_size=config.vocabulary_size, n_layer=config.layers, n_head=config.heads,
            n_embd=config.width, dropout=0.0, bias=False,
        )
    ).to(device)  # fmt: skip
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), device.type)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step() -> None:
        model(inputs, targets)[1].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def trainer_steps(size: str, turns: Iterator[None], done: Callable[[], None]) -> None:
    """The Trainer's own loop: a step at each turn, from when its batch is there to when its update is done."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainerCallback, TrainingArguments

    config, tokens = shape(size, "default"), tokens_of(size)[:, :-1]

    class InTurn(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if next(turns, "end") == "end":
                raise SystemExit

        def on_step_end(self, args, state, control, **kwargs):
            done()

    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=config.vocabulary_size, **Qwen3Layout().settings(config)))
    rows = [{"input_ids": row, "labels": row} for row in tokens] * 10_000
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder, per_device_train_batch_size=len(tokens), max_steps=1_000_000, report_to="none", save_strategy="no",
            logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        Trainer(model=model, args=settings, train_dataset=rows, callbacks=[InTurn()]).train()


def work(runner: str, size: str, checkout: Path | None, pipe: Connection) -> None:
    """A process of its own: says `ready`, then the seconds of a step whenever it is asked for one; last its peak memory."""
    before, started = psutil.Process().memory_info().rss, 0.0

    def turns() -> Iterator[None]:
        nonlocal started
        pipe.send("ready")
        while pipe.recv():
            started = time.perf_counter()
            yield
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        pipe.send(max(peak - before, 0))

    def done() -> None:
        synchronize(best_device())
        pipe.send(time.perf_counter() - started)

    if runner == "trainer":
        import transformers.trainer  # noqa: F401  part of its imports, not of its training

        before = psutil.Process().memory_info().rss
        return trainer_steps(size, turns(), done)
    if runner == "nanogpt":
        assert checkout is not None
        step = nanogpt_step(size, checkout)
    else:
        step = our_step(size, "same" if runner == "same" else "default", "muon" if runner == "muon" else "adamw")
    for _ in turns():
        step()
        done()
    return None


def measure(size: str, steps: int, checkout: Path | None) -> dict[str, dict[str, float]]:
    """Of each runner the median `seconds` of a step, after one that isn't counted, the least and the most, and its `memory`."""
    context = multiprocessing.get_context("spawn")
    names = [name for name in RUNNERS if name != "nanogpt" or checkout]
    pipes, processes, taken = {}, [], {name: list[float]() for name in names}
    try:
        for name in names:
            pipes[name], theirs = context.Pipe()
            processes.append(context.Process(target=work, args=(name, size, checkout, theirs)))
            processes[-1].start()
            theirs.close()
            pipes[name].recv()
        for _ in range(steps + 1):
            for name, pipe in pipes.items():
                pipe.send(True)
                taken[name].append(pipe.recv())
        found = {}
        for name, pipe in pipes.items():
            pipe.send(False)
            counted = taken[name][1:]
            spread = {"seconds": statistics.median(counted), "least": min(counted), "most": max(counted)}
            found[name] = {**spread, "memory": pipe.recv()}
        return found
    except EOFError:
        raise SystemExit(f"one of {', '.join(pipes)} failed at {size}, as said above") from None
    finally:
        for process in processes:
            process.kill()
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=nanogpt.checkout, help="a checkout of nanoGPT; without one it is left out")
    parser.add_argument("--steps", type=int, default=5, help="steps counted at each size")
    parser.add_argument("--sizes", default=",".join(SIZES), help="which of them, separated by commas")
    arguments = parser.parse_args()
    if unknown := set(arguments.sizes.split(",")) - set(SIZES):
        parser.error(f"--sizes: {', '.join(sorted(unknown))} unknown; write some of {', '.join(SIZES)}")
    device = best_device()
    peak = peak_flops(device, torch.float32)
    print(f"{machine_name(device)}, {peak / 1e9:.0f} GFLOP/s in a float32 matrix product")
    sizes = {}
    for size in arguments.sizes.split(","):
        _, rows, context, _ = SIZES[size]
        found = measure(size, arguments.steps, arguments.nanogpt)
        for name, values in found.items():
            cost = count(shape(size, "same" if name in ("same", "nanogpt") else "default"))
            values["tokens_per_second"] = rows * context / values["seconds"]
            # the optimizer's own work isn't counted
            values["share_of_peak"] = cost.needed_training_flops * values["tokens_per_second"] / peak
            print(
                f"{size:>5} {name:>8}: {cost.parameters / 1e6:6.1f} M parameters  "
                f"{values['tokens_per_second']:9,.0f} tokens/s  "
                f"{values['share_of_peak']:4.0%} of peak  {values['memory'] / 1e6:7,.0f} MB  "
                f"({values['least']:.3f} to {values['most']:.3f} s a step)"
            )
        ratios = {}
        for ours, peer in (("same", "nanogpt"), ("default", "nanogpt"), ("default", "trainer")):
            if peer in found:
                speed = found[peer]["seconds"] / found[ours]["seconds"]
                memory = found[ours]["memory"] / found[peer]["memory"]
                ratios[f"{ours}_over_{peer}"] = {"speed": speed, "memory": memory}
                print(f"{size:>5} {ours} over {peer}: {speed:.2f} times the tokens a second, {memory:.2f} times the memory")
        sizes[size] = {**found, "ratios": ratios}
    print(json.dumps({"bench": "train_step", "machine": machine_name(device), "peak_flops": peak, "sizes": sizes}))


if __name__ == "__main__":
    main()
