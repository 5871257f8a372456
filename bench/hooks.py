"""What hook points cost: unused, read, and read with attention's weights, on one decoded token and on a batch.

    python bench/hooks.py [--rounds 200]

`unhooked` calls the layers' forward functions themselves, past the machinery of torch's modules that hooks live in: what a
model without any hook points would be. Variants take turns. Prints a table, and one JSON line last.
"""

import argparse
import contextlib
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch

from textmill.machine.cores import usable_cores
from textmill.machine.device import machine_name
from textmill.models.architectures import build
from textmill.models.hooks import hook_points, recorded
from textmill.models.language_model import LanguageModel
from textmill.models.settings import ModelSettings

PROMPT = 64  # tokens that the state holds when one more is decoded
BATCH, CONTEXT = 8, 128


@contextlib.contextmanager
def unhooked(model: LanguageModel) -> Iterator[None]:
    """Every module at a hook point is called by its forward function itself."""
    classes = {type(module) for module in hook_points(model).values()}
    calls = {each: each.__call__ for each in classes}
    for each in classes:
        each.__call__ = each.forward
    try:
        yield
    finally:
        for each in calls:
            del each.__call__


@contextlib.contextmanager
def plain(model: LanguageModel) -> Iterator[None]:
    yield


def reading(patterns: bool) -> Callable[[LanguageModel], contextlib.AbstractContextManager[object]]:
    return lambda model: recorded(model, [name for name in hook_points(model) if patterns or "pattern" not in name])


VARIANTS = {"unhooked": unhooked, "unused": plain, "read": reading(False), "read with patterns": reading(True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="measurements of each")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(usable_cores())
    model = build(ModelSettings(preset="3m", context_length=256).config(8192)).eval()
    model.initialise(0)
    state = model.new_state(rows=1)
    tokens = torch.randint(0, 8192, (BATCH, CONTEXT), generator=torch.Generator().manual_seed(0))
    model(tokens[:1, :PROMPT], state=state)

    def decode() -> None:
        model(tokens[:1, :1], state=state)
        state.rollback(PROMPT)

    work = {"one token": decode, f"{BATCH} x {CONTEXT} tokens": lambda: model(tokens)}
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    with torch.no_grad():
        for round_number in range(rounds + 3):
            for variant, context in VARIANTS.items():
                for name, run in work.items():
                    with context(model):
                        before = time.perf_counter()
                        run()
                        seconds = time.perf_counter() - before
                    if round_number >= 3 and (name == "one token" or round_number % 10 == 0):
                        taken[variant, name].append(seconds)
    medians = {key: statistics.median(values) for key, values in taken.items()}
    ratios = {}
    for name in work:
        base = medians["unhooked", name]
        ratios[name] = {variant: medians[variant, name] / base for variant in VARIANTS}
        print(f"{name:>16}: {1e3 * base:8.3f} ms; " + ", ".join(f"{v} {ratio:.3f}" for v, ratio in ratios[name].items()))
    print(json.dumps({"bench": "hooks", "machine": machine_name(torch.device("cpu")), "ratios": ratios}))


if __name__ == "__main__":
    main()
