"""Writing and reading tokens by the C++ kernels beside llama.cpp, at equal precision and with the quality that it costs.

    python bench/decode.py --peer-python PYTHON [--trained RUN] [--rounds 7] [--shape model,134m] [--only decode,cold,…]

PYTHON has llama-cpp-python (bench/README.md); RUN is a run folder of a model that was trained in float32, whose quality is
measured as well. Both sides run in processes of their own, with as many threads, and are asked in turn; a ratio is the median
of the rounds' ratios. Warm: the weights were read just before. Cold: a buffer larger than all caches was. Its files are made
from our export by llama.cpp itself; on models whose width isn't a multiple of 256 it takes other types for some matrices,
which are told. Prints tables, what holds of the bounds, and one JSON line last. Measure on a quiet machine.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import decode_models as models
import decode_quality as quality
import decode_turns as turning
from decode_pipe import PeerError, Worker
from decode_turns import LAYOUTS, LEAST, MOST_BITS, MOST_MEMORY_BESIDES, PAIRS, Turns
from textmill import load
from textmill.errors import TextmillError
from textmill.machine.cores import usable_cores
from textmill.machine.device import machine_name

PARTS = ("decode", "cold", "prefill", "batch", "memory", "quality")
SHAPES = ("model", "134m")
PROMPT, LENGTH = 256, 512  # tokens of the text that is read, and of a row's room
ROWS, BATCH_PROMPT = 16, 64
SAME_MODEL = 1e-3  # nats between both sides' float32: llama.cpp keeps keys and values in 16 bits
OURS = [ours for ours, _ in PAIRS.values()]


@contextlib.contextmanager
def started(
    model: str, files: Mapping[str, Path], words: argparse.Namespace, rows: int, length: int = LENGTH
) -> Iterator[dict[str, Worker]]:
    """A process for each of our formats, and for each of the peer's files, with rows once for each layout."""
    with contextlib.ExitStack() as stack:
        workers = {}
        size = {"threads": usable_cores(), "length": length, "rows": rows}
        for format in OURS:
            ours = Worker(sys.executable, "decode_textmill.py", folder=model, format=format, **size)
            workers[format] = stack.enter_context(ours)
        for kind, file in files.items():
            for layout, unified in LAYOUTS.items() if rows > 1 else [("", False)]:
                peer = Worker(words.peer_python, "decode_llama_cpp.py", file=str(file), unified=unified, **size)
                workers[f"{kind}, {layout}" if layout else kind] = stack.enter_context(peer)
        yield workers


def speeds(model: str, files: Mapping[str, Path], words: argparse.Namespace, only: set[str]) -> tuple[Turns, dict[str, int]]:
    """What is measured in turn, and how much memory each takes after its first tokens."""
    turns, resident, folder = Turns(), dict[str, int](), Path(words.keep)
    tokens = models.some_tokens(PROMPT, load(model).model.config.vocabulary_size)
    if only & {"decode", "cold", "prefill", "memory"}:
        with started(model, files, words, rows=1) as workers:
            for who, worker in workers.items():
                worker.ask("prefill", tokens=tokens)
                worker.ask("decode", steps=2, start=PROMPT)
                resident[who] = worker.ask("memory")
            refuse_another_model(workers, tokens[:64], folder)
            for worker in workers.values():
                worker.ask("prefill", tokens=tokens)
            evict = turning.Eviction() if "cold" in only else None
            for _ in range(words.rounds):
                if "decode" in only:
                    turning.warm(turns, workers, tokens, words.steps)
                if evict:
                    turning.cold(turns, workers, tokens, words.cold_steps, evict)
                if "prefill" in only:
                    turning.prefill(turns, workers, tokens)
    if "batch" in only:
        with started(model, files, words, ROWS, length=128) as workers:
            for worker in workers.values():
                for row in range(ROWS):
                    worker.ask("prefill", tokens=tokens[:BATCH_PROMPT], row=row)
            for _ in range(words.rounds):
                turning.batch(turns, workers, BATCH_PROMPT, words.batch_steps, ROWS)
    return turns, resident


def refuse_another_model(workers: Mapping[str, Worker], tokens: list[int], folder: Path) -> None:
    """Raises PeerError where both sides' float32 aren't the same model, as where a file's rows lie in another order."""
    found = [quality.logits_of(workers[who], tokens, folder) for who in PAIRS["fp32"]]
    compared = quality.Quality()
    compared.add(found[1], found[0], tokens, 1)
    if not (apart := compared.divergence / compared.tokens) < SAME_MODEL:
        raise PeerError(f"llama.cpp's F32 isn't the model that ours is: {apart:.2g} nats apart")


def qualities(model: str, files: Mapping[str, Path], words: argparse.Namespace, trained: Path | None) -> dict[str, Any]:
    """Bits per byte, and the divergence from the original, of each."""
    folder, loaded = Path(words.keep), load(model)
    length = min(LENGTH, loaded.model.config.context_length)
    texts = [loaded.tokenizer.encode(text) for text in models.held_out(trained, folder)]
    ids = models.windows(texts, length, words.tokens)
    sized = [(window, len(loaded.tokenizer.decode(window[1:]).encode())) for window in ids]
    with started(model, files, words, rows=1, length=length) as workers:
        found = quality.measure(loaded.model, workers, sized, folder)
    return {name: of.told() for name, of in found.items()}


def judged(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each bound of what was measured: what was found, what it is measured against, and whether it holds."""
    bounds = {}
    for name, least in LEAST.items():
        if (ratio := found["ratio"].get(name)) is not None:
            bounds[name] = {"found": ratio, "at_least": least, "met": ratio >= least}
    told = found.get("quality") or {}
    for name, ours, figure, most in (
        ("int8 bits per byte", "int8", "bits_per_byte", lambda: told["original"]["bits_per_byte"] * MOST_BITS),
        ("int4 bits per byte", "int4", "bits_per_byte", lambda: told["Q4_K_M"]["bits_per_byte"]),
        ("int4 divergence", "int4", "divergence_nats", lambda: told["Q4_K_M"]["divergence_nats"]),
    ):
        if told:
            bounds[name] = {"found": told[ours][figure], "at_most": most(), "met": told[ours][figure] <= most()}
    for name, (ours, theirs) in PAIRS.items():
        if memory := found.get("resident"):
            most_bytes = memory[theirs] + MOST_MEMORY_BESIDES
            bounds[f"{name} memory, MB"] = {
                "found": memory[ours] / 1e6, "at_most": most_bytes / 1e6, "met": memory[ours] <= most_bytes,
            }  # fmt: skip
    return bounds


def show(name: str, found: Mapping[str, Any]) -> None:
    """The tables of one model."""
    types = {kind: ", ".join(f"{key} {value}" for key, value in of.items()) for kind, of in found["tensor_types"].items()}
    print(f"\n{name}\n" + "\n".join(f"  {kind:<7}{told}" for kind, told in types.items()))
    for what, by in found["tokens_per_second"].items():
        for who, speed in by.items():
            side = "textmill" if who in OURS else "llama.cpp"
            spread = f"({speed['min']:.1f} to {speed['max']:.1f})"
            print(f"  {what:<9}{side:<11}{who:<17}{speed['median']:9.1f} tokens/s  {spread}")
    for who, of in (found.get("quality") or {}).items():
        more = of["bits_per_byte"] / found["quality"]["original"]["bits_per_byte"] - 1
        print(
            f"  {who:<10}{of['bits_per_byte']:9.5f} bits/byte ({more:+.3%}), {of['divergence_nats']:.6f} nats from the original"
        )
    for bound, of in found["bounds"].items():
        wanted = f"at least {of['at_least']}" if "at_least" in of else f"at most {of['at_most']:.5g}"
        print(f"  {bound:<20}{of['found']:10.5g}   {wanted:<18}{'met' if of['met'] else 'NOT MET'}")
    sys.stdout.flush()


def measured(model: str, name: str, words: argparse.Namespace, only: set[str], trained: Path | None) -> dict[str, Any]:
    """All that is asked for of one model."""
    files = models.files_for_llama_cpp(model, name, Path(words.keep), words.peer_python)
    for format in OURS:  # whose packed weights are made here, so that those who are measured only map them
        load(model, weights=format)
    turns, resident = speeds(model, files, words, only - {"quality"})
    batch_pairs = [turns.batch_pair(name) for name in PAIRS] if "batch" in only else []
    found = {
        "ratio": turns.ratios(),
        "tokens_per_second": turns.told(),
        "batch16_ratios": {" over ".join(map(str, pair)): turns.ratio("batch16", *pair) for pair in batch_pairs},
        "quality": qualities(model, files, words, trained) if "quality" in only else None,
        "resident": resident,
        "tensor_types": {kind: models.tensor_types(file) for kind, file in files.items()},
    }
    found["bounds"] = judged(found)
    show(name, found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True, help="a Python with llama-cpp-python")
    parser.add_argument("--model", default="sample:smollm2", help="a decoder's folder, or a sample")
    parser.add_argument("--trained", type=Path, help="a run folder of a model that was trained in float32")
    parser.add_argument("--shape", default=",".join(SHAPES), help="model, and 134m: random weights of the Llama shape")
    parser.add_argument("--only", default=",".join(PARTS), help="which parts, separated by commas")
    parser.add_argument("--rounds", type=int, default=7, help="of ours and theirs in turn")
    parser.add_argument("--steps", type=int, default=32, help="tokens of a warm measurement")
    parser.add_argument("--cold-steps", type=int, default=6, help="tokens of a cold one")
    parser.add_argument("--batch-steps", type=int, default=6, help="tokens of each of sixteen rows")
    parser.add_argument("--tokens", type=int, default=4096, help="held-out tokens that quality is measured on")
    parser.add_argument("--keep", type=Path, help="where models and files are made and kept; else they are removed")
    words = parser.parse_args()
    only, shapes = set(words.only.split(",")), words.shape.split(",")
    for given, known in ((only, PARTS), (set(shapes), SHAPES)):
        if unknown := given - set(known):
            parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    with contextlib.ExitStack() as stack:
        if words.keep is None:
            words.keep = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        words.keep.mkdir(parents=True, exist_ok=True)
        with Worker(words.peer_python, "decode_llama_cpp.py") as peer:
            about = peer.about
        threads = usable_cores()
        print(f"{machine_name(torch.device('cpu'))}, {threads} threads; llama-cpp-python {about['version']}: {about['system']}")
        found = {}
        if "model" in shapes:
            name = Path(words.model).name.removeprefix("sample:")
            found[name] = measured(words.model, name, words, only, words.trained)
        if "134m" in shapes and only - {"quality"}:  # whose weights are random
            folder = models.random_model(words.keep)
            found["134m"] = measured(str(folder), "134m", words, only - {"quality"}, None)
        if words.trained and "quality" in only:
            found["trained"] = measured(str(words.trained / "model"), "trained", words, {"quality"}, words.trained)
    ratio = {key: min(filter(None, (of["ratio"][key] for of in found.values())), default=None) for key in LEAST}
    result = {
        "bench": "decode",
        "machine": machine_name(torch.device("cpu")),
        "threads": threads,
        "rounds": words.rounds,
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "peer": about,
        "ratio": ratio,  # the lower of all shapes
        "shapes": found,
    }
    print(json.dumps(result, allow_nan=False))


if __name__ == "__main__":
    try:
        main()
    except (PeerError, TextmillError, ValueError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
