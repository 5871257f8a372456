"""Speeds that were measured in turn, ours and the peer's in each round, and what is read off them; and cold caches."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from decode_pipe import Worker

# What a ratio, ours over the peer's, should be at least.
LEAST = {"fp32": 1.0, "int8": 2.5, "int4": 2.0, "int8_cold": 1.7, "int4_cold": 1.7, "prefill": 2.0, "batch16": 2.5}
MOST_MEMORY_BESIDES = 150e6  # bytes, over the peer's
MOST_BITS = 1.001  # of int8, over the original's bits per byte
PAIRS = {"fp32": ("float32", "F32"), "int8": ("int8", "Q8_0"), "int4": ("int4", "Q4_K_M")}  # at equal precision


class Eviction:
    """A walk through more memory than all caches hold."""

    def __init__(self) -> None:
        caches = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
        largest = max((int(text[:-1]) << 10 for text in caches if text.endswith("K")), default=0)
        self._walked = np.ones(max(64 << 20, 2 * largest) // 8)

    def __call__(self) -> None:
        """After it, nobody's weights are in a cache."""
        if not self._walked.sum() > 0:
            raise AssertionError("the walk was left out")


@dataclass
class Turns:
    """Tokens a second of each that was measured, one number a round: of `what`, by whom."""

    of: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, what: str, who: str, tokens: int, seconds: float) -> None:
        """One measurement. Raises ValueError for what is no speed."""
        speed = tokens / seconds if seconds > 0 else math.nan
        if not math.isfinite(speed):
            raise ValueError(f"{what} of {who} took {seconds} s")
        self.of[what][who].append(speed)

    def best(self, what: str, of: Sequence[str]) -> str | None:
        """Who of them was fastest, by the median."""
        there = [who for who in of if who in self.of.get(what, {})]
        return max(there, key=lambda who: statistics.median(self.of[what][who]), default=None)

    def ratio(self, what: str, ours: str | None, theirs: str | None) -> float | None:
        """The median of the rounds' ratios; None where one of both wasn't measured."""
        by = self.of.get(what, {})
        if ours not in by or theirs not in by:
            return None
        pairs = zip(by[ours], by[theirs], strict=True)
        return statistics.median(own / other for own, other in pairs)

    def ratios(self) -> dict[str, float | None]:
        """By LEAST's names. Prefill: our fastest over its fastest; batch 16: int8 over Q8_0, by its better layout."""
        found = {name: self.ratio("decode", *pair) for name, pair in PAIRS.items()}
        found |= {f"{name}_cold": self.ratio("cold", *PAIRS[name]) for name in ("int8", "int4")}
        ours, theirs = [format for format, _ in PAIRS.values()], list(self.of.get("prefill", {}))
        theirs = [who for who in theirs if who not in ours]
        found["prefill"] = self.ratio("prefill", self.best("prefill", ours), self.best("prefill", theirs))
        found["batch16"] = self.ratio("batch16", *self.batch_pair("int8"))
        return found

    def batch_pair(self, name: str) -> tuple[str, str | None]:
        """Who is compared in a batch."""
        ours, theirs = PAIRS[name]
        return ours, self.best("batch16", [f"{theirs}, {layout}" for layout in LAYOUTS])

    def told(self) -> dict[str, dict[str, dict[str, float]]]:
        """Least, median and most of each."""
        return {
            what: {
                who: {"min": min(speeds), "median": statistics.median(speeds), "max": max(speeds)} for who, speeds in by.items()
            }
            for what, by in self.of.items()
        }


LAYOUTS = {"apart": False, "unified": True}  # llama.cpp's buffers of keys and values: one a row, or one for all


def warm(turns: Turns, workers: Mapping[str, Worker], tokens: Sequence[int], steps: int) -> None:
    """One round of single tokens behind a text, each by weights that were read just before."""
    for who, worker in workers.items():
        worker.ask("decode", steps=2, start=len(tokens))
        turns.add("decode", who, steps, worker.ask("decode", steps=steps, start=len(tokens)))


def cold(turns: Turns, workers: Mapping[str, Worker], tokens: Sequence[int], steps: int, evict: Eviction) -> None:
    """One round of single tokens, before each of which all caches are emptied."""
    for who, worker in workers.items():
        seconds = 0.0
        for step in range(steps):
            evict()
            seconds += worker.ask("decode", steps=1, start=len(tokens) + step)
        turns.add("cold", who, steps, seconds)


def prefill(turns: Turns, workers: Mapping[str, Worker], tokens: Sequence[int]) -> None:
    """One round of reading a text."""
    for who, worker in workers.items():
        turns.add("prefill", who, len(tokens), worker.ask("prefill", tokens=list(tokens)))


def batch(turns: Turns, workers: Mapping[str, Worker], start: int, steps: int, rows: int) -> None:
    """One round of a token of each of `rows` rows at once."""
    for who, worker in workers.items():
        worker.ask("decode", steps=1, start=start, rows=rows)
        turns.add("batch16", who, steps * rows, worker.ask("decode", steps=steps, start=start, rows=rows))
