"""Loss per minute: how soon `textmill run` is as good as nanoGPT's own CPU recipe, and how good it is after as long.

    python bench/time_to_loss.py --nanogpt nanoGPT --text input.txt [--budgets 6s,8s,11s,15s,25s,60s] [--bpe]

Both are whole commands, from start to exit: nanoGPT's train.py, and every stage of a recipe whose [model] and [train] say
nothing but the time. They read the same tokens, and both models are scored here, by the same code, over the whole
validation part in blocks of their own context that don't overlap. The text is one whose first 90 % are trained on, by
characters; with --bpe it is the Wikipedia sample, in bits per byte, nanoGPT has as many parameters as our model, and both
begin at the tokens.

Each part (the peer, each budget) is kept in --folder and not run again, so that parts can be measured apart; --draw writes
a picture of all that is there. JSON last: `speedup` is the peer's seconds over those of our shortest run that is as good,
`loss_at_peer_time` the best of our runs that took no longer than the peer. Measure on a quiet machine.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nanogpt
from textmill.corpus.document import Document
from textmill.corpus.split import split_of
from textmill.corpus.store import read_corpus
from textmill.files import read_json, write_json
from textmill.formats.model_folder import load_model_folder
from textmill.machine.device import machine_name
from textmill.models.language_model import LanguageModel
from textmill.tokens.data import TokenData
from textmill.tokens.tokenizer import Tokenizer

VALIDATION = 0.1
PIECE = 32_768  # characters of a document, as long texts are cut by the reader


@dataclass(frozen=True)
class Task:
    """What is learnt: the recipe's first sections, nanoGPT's flags beside its own recipe, and the unit of the loss in nats."""

    recipe: str
    flags: dict[str, Any]
    unit: str
    nats: float
    budgets: str


CHARACTERS = Task('[tokenizer]\nkind = "character"\n', {}, "nats a character", 1.0, "6s,8s,11s,15s,25s,60s")
BPE = Task(
    '[tokenizer]\nkind = "bpe"\nvocabulary_size = 8192\n',
    {"n_embd": 160, "max_iters": 800, "lr_decay_iters": 800, "eval_interval": 100},  # as large as ours, its table being tied
    "bits a byte",
    math.log(2),
    "12s,20s,35s,70s",
)


def write_documents(text: str, path: Path) -> None:
    """The text in pieces as documents, titled so that the last tenth of them is what the corpus stage holds back."""
    border = int(len(text) * (1 - VALIDATION))
    with path.open("w", encoding="utf-8") as stream:
        for side, part in (("train", text[:border]), ("validation", text[border:])):
            start = 0
            while start < len(part):
                end = part.rfind("\n\n", start, start + PIECE) + 2 if start + PIECE < len(part) else len(part)
                titles = (f"{side} {start}.{salt}" for salt in range(10**6))
                title = next(each for each in titles if split_of(Document("", "", "", each), VALIDATION) == side)
                stream.write(json.dumps({"title": title, "text": part[start:end]}) + "\n")
                start = end


def command(recipe: Path, folder: Path, *more: str) -> float:
    """Seconds of a whole `textmill run`. Raises SystemExit with its words where it fails."""
    words = [sys.executable, "-m", "textmill", "run", str(recipe), "--out", str(folder), *more]
    started = time.perf_counter()
    process = subprocess.run(words, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"textmill failed:\n{process.stdout[-2000:]}{process.stderr[-2000:]}")
    return time.perf_counter() - started


class Bench:
    """A task in a folder: what both read, and the parts that were measured."""

    def __init__(self, task: Task, source: str, folder: Path):
        self.task, self.folder, self.recipe = task, folder, folder / "recipe.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe.write_text(f'[corpus]\nsource = "{source}"\n{task.recipe}[train]\ntime = "10s"\n')
        prepared = folder / "prepared"
        command(self.recipe, prepared, "--until", "tokens")
        data = TokenData.open(prepared / "tokens")
        self.train = data.read(0, data.tokens)
        tokenizer = Tokenizer.load(prepared / "tokenizer")
        documents = list(read_corpus(prepared / "corpus" / "validation.jsonl.zst"))
        rows = [
            [tokenizer.document_start_id],
            *([*tokenizer.encode(each.text), tokenizer.document_end_id] for each in documents),
        ]
        self.validation = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        self.vocabulary = tokenizer.vocabulary_size
        self.bytes = sum(len(each.text.encode()) + 1 for each in documents)

    def loss(self, model: LanguageModel) -> float:
        """What the model pays for the validation part, in the task's unit: blocks of its own context that don't overlap."""
        context, nats = model.context_limit or 64, 0.0
        targets = torch.from_numpy(self.validation[1:])
        inputs = torch.from_numpy(self.validation[:-1])
        whole = len(targets) // context * context
        pairs = zip(inputs[:whole].view(-1, context).split(64), targets[:whole].view(-1, context).split(64))
        for block, wanted in [*pairs, (inputs[None, whole:], targets[None, whole:])]:
            if wanted.numel():
                nats += float(model.token_nats(block, wanted).double().sum())
        return nats / self.task.nats / self.bytes

    def peer(self, checkout: Path) -> dict[str, Any]:
        """nanoGPT's part."""
        place = self.folder / "nanogpt"
        if not (place / "result.json").exists():
            place.mkdir(exist_ok=True)
            tokens = self.train, self.validation
            write_json(place / "result.json", nanogpt.train(checkout, place, tokens, self.vocabulary, self.task.flags))
        model, result = nanogpt.load(place), read_json(place / "result.json")
        parameters = sum(each.numel() for each in model.parameters())
        units_per_nat = (len(self.validation) - 1) / self.bytes / self.task.nats  # its own estimates are nats a token
        curve = [(seconds, nats * units_per_nat) for seconds, nats in result["curve"]]
        return {"seconds": result["seconds"], "curve": curve, "loss": self.loss(model), "parameters": parameters}

    def ours(self, budget: str, seed: int) -> dict[str, Any]:
        """One of our runs."""
        place = self.folder / f"textmill-{budget}-{seed}"
        if not (place / "result.json").exists():
            settings = [f"train.time={budget}", f"train.seed={seed}"]
            shutil.rmtree(place, ignore_errors=True)  # what was broken off would be gone on with
            if self.task is BPE:
                shutil.copytree(self.folder / "prepared", place)
            seconds = command(self.recipe, place, *(word for each in settings for word in ("--set", each)))
            model = load_model_folder(place / "model").model.eval()
            stages = read_json(place / "manifest.json")["stages"]
            result = {
                "budget": budget,
                "seed": seed,
                "seconds": seconds,
                "loss": self.loss(model),
                "parameters": stages["train"]["summary"]["parameters"],
                "steps": stages["train"]["summary"]["steps"],
                "stages": {name: stage["seconds"] for name, stage in stages.items()},
            }
            write_json(place / "result.json", result)
        return read_json(place / "result.json")

    def all_of_ours(self) -> list[dict[str, Any]]:
        """Every run that was ever measured in this folder, the shortest first."""
        results = [read_json(path) for path in self.folder.glob("textmill-*/result.json")]
        return sorted(results, key=lambda result: result["seconds"])


def draw(bench: Bench, peer: dict[str, Any], ours: list[dict[str, Any]]) -> str:
    """Loss against seconds of both, as an SVG file."""
    from textmill.report.canvas import (
        ACCENT,
        FONT,
        GRID,
        MUTED,
        SECOND,
        WIDE,
        name_at_the_right,
        new_axes,
        own_style,
        standalone,
        svg,
    )

    @own_style
    def drawn() -> str:
        figure, axes = new_axes(WIDE, bottom=46)
        axes.plot(*zip(*peer["curve"][1:], (peer["seconds"], peer["loss"])), color=SECOND, marker="o", markersize=3)
        axes.plot([each["seconds"] for each in ours], [each["loss"] for each in ours], "o", color=ACCENT, markersize=4)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_xlabel(f"seconds of the whole command; {bench.task.unit}", color=MUTED, fontsize=FONT)
        best = min(each["loss"] for each in ours)
        name_at_the_right(axes, [("nanoGPT", peer["loss"], SECOND), ("textmill", best, ACCENT)], WIDE)
        return svg(figure)

    return standalone(drawn())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=nanogpt.checkout, required=True, help="a checkout of nanoGPT")
    parser.add_argument("--text", type=Path, help="a text, such as tiny Shakespeare; not needed with --bpe")
    parser.add_argument("--bpe", action="store_true", help="the Wikipedia sample by BPE instead")
    parser.add_argument("--budgets", help="train.time of our runs, separated by commas; '' runs none")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds of each")
    parser.add_argument("--folder", type=Path, help="where parts are kept; default: runs/time_to_loss")
    parser.add_argument("--draw", type=Path, help="write a picture of all parts to this .svg file")
    words = parser.parse_args()
    task = BPE if words.bpe else CHARACTERS
    folder = words.folder or Path("runs/time_to_loss_bpe" if words.bpe else "runs/time_to_loss")
    folder.mkdir(parents=True, exist_ok=True)
    source = "sample:wikipedia"
    if not words.bpe:
        if words.text is None:
            raise SystemExit("give --text FILE, such as tiny Shakespeare's input.txt, or --bpe")
        source = str((folder / "text.jsonl").resolve())
        if not Path(source).exists():
            write_documents(words.text.read_text(encoding="utf-8"), Path(source))
    bench = Bench(task, source, folder)
    peer = bench.peer(words.nanogpt)
    print(
        f"nanoGPT    {peer['seconds']:6.1f} s  {peer['loss']:.4f} {task.unit}  ({peer['parameters']:,} parameters)", flush=True
    )
    budgets = task.budgets if words.budgets is None else words.budgets
    for budget in filter(None, budgets.split(",")):
        for seed in range(words.seeds):
            each = bench.ours(budget, seed)
            print(f"textmill   {each['seconds']:6.1f} s  {each['loss']:.4f}  time {budget}, seed {seed}, {each['steps']} steps",
                  flush=True)  # fmt: skip
    ours = bench.all_of_ours()
    as_good = [each["seconds"] for each in ours if each["loss"] <= peer["loss"]]
    in_time = [each["loss"] for each in ours if each["seconds"] <= peer["seconds"]]
    if words.draw and ours:
        words.draw.write_text(draw(bench, peer, ours), encoding="utf-8")
    print(json.dumps({
        "bench": "time_to_loss", "task": "bpe" if words.bpe else "characters", "unit": task.unit,
        "machine": machine_name(torch.device("cpu")), "threads": torch.get_num_threads(),
        "speedup": peer["seconds"] / min(as_good) if as_good else None,
        "seconds": min(as_good, default=None), "peer_seconds": peer["seconds"], "peer_loss": peer["loss"],
        "loss_at_peer_time": min(in_time, default=None),
        "runs": [{name: each[name] for name in ("budget", "seed", "seconds", "loss")} for each in ours],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
