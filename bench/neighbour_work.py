"""One kind of work of neighbour.py, in a process of its own that is asked again and again: training or decoding."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from decode_pipe import serve

if TYPE_CHECKING:
    from textmill.machine.threads import ThreadChoice

TRAINED = {"1m": (16, 64, 96), "3m": (8, 256, 4096), "12m": (8, 256, 8192)}  # rows, context, vocabulary
LEAST_TURNS = 3


def train_step(preset: str, adapting: bool) -> tuple[Callable[["ThreadChoice"], int], Callable[[], "ThreadChoice"]]:
    """One step of the training loop, which gives its tokens, and what makes a choice of its threads."""
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

    def step(threads: ThreadChoice) -> int:
        with torch_threads(threads.count):
            run_step(runner, optimizer, objective, batch, None, kernels, 0, rate=0.1)
        return batch.tokens

    return step, lambda: ThreadChoice(kernels.threads, usable_cores() if adapting else None)


def decode_pass(preset: str, by_kernels: bool) -> tuple[Callable[["ThreadChoice"], int], Callable[[], "ThreadChoice"]]:
    """One pass that writes a token of one answer, which gives 1, and what makes a choice of its threads."""
    import torch

    from textmill.inference.passes import Group, Passes
    from textmill.inference.workers import Workers
    from textmill.models.architectures import build
    from textmill.models.settings import ModelSettings

    model = build(ModelSettings(preset=preset, context_length=512).config(8192)).eval()
    model.initialise(0)
    passes = Passes(model, model.new_slots(1, 512), memory=2**34 if by_kernels else 0)
    if by_kernels and passes.native is None:
        raise RuntimeError(passes.why_not)
    length = 0

    @torch.inference_mode()
    def turn(_: "ThreadChoice") -> int:
        nonlocal length
        length = (length + 1) % 256
        with passes.workers.at_work():
            (states,) = passes.run([Group(0, [length], [[7]])])
            assert isinstance(states, torch.Tensor)
            passes.logits(states[0])
        return 1

    def choice() -> "ThreadChoice":
        passes.workers = Workers(model, passes.native and passes.native.pool)
        return passes.workers.choice

    return turn, choice


class Work:
    """What it can be asked."""

    def __init__(self, turn: Callable[["ThreadChoice"], int], choose: Callable[[], "ThreadChoice"], chooses: bool):
        self._turn, self._choose, self._chooses = turn, choose, chooses

    def measure(self, settle: float, seconds: float) -> float:
        """Tokens a second of one that has just begun, after some seconds of work that don't count."""
        self._choice = self._choose()
        self._work(self._choice, settle)
        tokens, taken = self._work(self._choice, seconds)
        return tokens / taken

    def threads(self) -> str:
        """Those at the end of it."""
        return f"{self._choice.count}{', waiting briefly' if self._choice.now.briefly else ''}"

    def _work(self, choice: "ThreadChoice", seconds: float) -> tuple[int, float]:
        began, all_tokens, turns = time.perf_counter(), 0, 0
        while time.perf_counter() - began < seconds or turns < LEAST_TURNS:
            before = time.perf_counter()
            tokens = self._turn(choice)
            if self._chooses:
                choice.measure(tokens, time.perf_counter() - before)
            all_tokens, turns = all_tokens + tokens, turns + 1
        return all_tokens, time.perf_counter() - began


def start(words: dict[str, Any]) -> tuple[None, Work]:
    kind, preset = words["kind"], words["preset"]
    peer = kind.startswith("peer")
    if peer:
        import torch  # noqa: F401  (before textmill, which would have chosen how its threads wait)
    if "training" in kind:
        return None, Work(*train_step(preset, adapting="adapting" in kind), chooses=not peer)
    return None, Work(*decode_pass(preset, by_kernels="kernels" in kind), chooses=not peer)


if __name__ == "__main__":
    serve(start)
