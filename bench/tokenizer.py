"""Training and encoding of the tokenizer beside bare `tokenizers`: the same text, the same number of BPE tokens.

    python bench/tokenizer.py [TEXT] [--vocabulary 4096] [--repeats 3]

TEXT is a UTF-8 file; without one, the standard library's own sources are read. Each side works in a process of its own, so
that its peak memory is its own; speeds are the best of the repeats. Beside the real text, ten inputs that are bad for
tokenizers are encoded at two lengths: `growth` is how much longer twice the text takes, 2 where time grows linearly. Prints a
table, and one JSON line last.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.training import train_tokenizer

DOCUMENT = 10_000  # characters of text taken as one document
WORST_CASES = {
    "one letter": "a",
    "spaces": " ",
    "line ends": "\n",
    "letter, line end": "aaaaaaaaaaaaaaa\n",
    "emoji joined": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d",
    "base64": "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24",
    "Chinese": "我们学习中文模型语言文本没有空格很重要今天天气好",
    "brackets": "([{<",
    "marks": "e\u0301\u0302\u0303",
    "apostrophes": "'s't",
}
WORST_CASE_CHARACTERS = 250_000


def read_documents(path: Path | None) -> list[str]:
    """The text in pieces of some ten thousand characters."""
    if path is None:
        files = sorted(Path(json.__file__).parents[1].glob("*.py"))
        text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
    else:
        text = path.read_text(encoding="utf-8")
    return [text[start : start + DOCUMENT] for start in range(0, len(text), DOCUMENT)]


def bare_tokenizer(documents: list[str], vocabulary: int) -> tokenizers.Tokenizer:
    """A byte-level BPE as the library's own documentation makes one."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def best_seconds(action: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        before = time.perf_counter()
        action()
        taken.append(time.perf_counter() - before)
    return min(taken)


def measure(side: str, path: Path | None, vocabulary: int, repeats: int) -> dict[str, object]:
    """One side's megabytes a second, peak memory in megabytes, tokens, and growth on the worst cases."""
    documents = read_documents(path)
    size = sum(len(document.encode()) for document in documents)
    start_memory = psutil.Process().memory_info().rss
    settings = TokenizerSettings(kind="bpe", vocabulary_size=vocabulary, training_bytes=max(size, 131_072))
    train: Callable[[], object] = (
        (lambda: train_tokenizer(settings, documents)) if side == "textmill" else lambda: bare_tokenizer(documents, vocabulary)
    )
    training = best_seconds(train, repeats)
    if side == "textmill":
        encode = train_tokenizer(settings, documents).encode_batch
    else:
        bare = bare_tokenizer(documents, vocabulary)

        def encode(texts: list[str]) -> list[list[int]]:
            return [encoding.ids for encoding in bare.encode_batch_fast(texts, add_special_tokens=False)]

    encoding = best_seconds(lambda: encode(documents), repeats)
    growth = {}
    for name, pattern in WORST_CASES.items():
        text = pattern * (WORST_CASE_CHARACTERS // len(pattern))
        once, twice = (best_seconds(lambda text=text * n: encode([text]), repeats) for n in (1, 2))  # type: ignore[misc]
        growth[name] = round(twice / once, 2)
    return {
        "training_mb_per_second": size / 1e6 / training,
        "encoding_mb_per_second": size / 1e6 / encoding,
        "peak_memory_mb": (peak_memory() - start_memory) / 1e6,
        "tokens": sum(map(len, encode(documents))),
        "growth": growth,
    }


def peak_memory() -> int:
    """Bytes that this process had at most."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, nargs="?", help="a UTF-8 file; default: the standard library's sources")
    parser.add_argument("--vocabulary", type=int, default=4096, help="number of tokens")
    parser.add_argument("--repeats", type=int, default=3, help="of which the best counts")
    parser.add_argument("--side", choices=["textmill", "tokenizers"], help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.side:
        print(json.dumps(measure(words.side, words.text, words.vocabulary, words.repeats)))
        return
    sides = {}
    for side in ("textmill", "tokenizers"):
        result = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--side", side], stdout=subprocess.PIPE, check=True)
        sides[side] = json.loads(result.stdout)
        speeds = "training {training_mb_per_second:6.2f} MB/s  encoding {encoding_mb_per_second:6.2f} MB/s".format(
            **sides[side]
        )
        print(f"{side:>10}: {speeds}  {sides[side]['peak_memory_mb']:6.0f} MB  {sides[side]['tokens']:,} tokens")
        worst = max(sides[side]["growth"].items(), key=lambda case: case[1])
        print(f"{'':>12}twice the text takes at most {worst[1]:.2f} times as long ({worst[0]})")
    keys = ("training_mb_per_second", "encoding_mb_per_second", "peak_memory_mb", "tokens")
    ratios = {key: round(sides["textmill"][key] / sides["tokenizers"][key], 3) for key in keys}
    print(json.dumps({"bench": "tokenizer", "vocabulary": words.vocabulary, "ratios": ratios, **sides}))


if __name__ == "__main__":
    main()
