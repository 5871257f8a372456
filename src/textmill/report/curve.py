"""metrics.jsonl in bounded memory: millions of steps become some hundred points with their means and extremes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..score import BITS_PER_BYTE, FIGURES, Figure
from ..training.metrics import FILE

POINTS = 240  # of a curve, at most; a picture is some 700 pixels wide
SAMPLES = 6  # pieces of writing kept, at most


@dataclass(frozen=True)
class Point:
    """What some steps one after the other have in common: where they ended, and the mean and extremes of their values."""

    step: int
    tokens: int
    seconds: float
    count: int
    mean: float
    low: float
    high: float

    def __add__(self, later: "Point") -> "Point":
        count = self.count + later.count
        mean = (self.count * self.mean + later.count * later.mean) / count
        return Point(later.step, later.tokens, later.seconds, count, mean, min(self.low, later.low), max(self.high, later.high))


@dataclass
class Envelope:
    """A curve of at most `limit` points, each of as many values: where it is full, neighbours are joined."""

    limit: int = POINTS
    stride: int = 1
    points: list[Point] = field(default_factory=list)
    rest: Point | None = None

    def add(self, step: int, tokens: int, seconds: float, value: float) -> None:
        point = Point(step, tokens, seconds, 1, value, value, value)
        self.rest = point if self.rest is None else self.rest + point
        if self.rest.count < self.stride:
            return
        if len(self.points) == self.limit:  # an even number
            self.points = [first + second for first, second in zip(self.points[::2], self.points[1::2], strict=True)]
            self.stride *= 2
        else:
            self.points.append(self.rest)
            self.rest = None

    def curve(self) -> list[Point]:
        return [*self.points, *([self.rest] if self.rest else [])]


@dataclass(frozen=True)
class Curve:
    """A training as it went: `figure` of its own text, and of held-out text; what it wrote; its last step."""

    figure: Figure
    training: list[Point]
    validation: list[Point]
    samples: list[dict[str, Any]]
    last_step: int
    seconds: float
    skipped_steps: int


def read_curve(folder: Path) -> Curve | None:
    """The training of a run folder, streamed; None where none was begun. A line torn by a kill is passed over."""
    if not (folder / FILE).is_file():
        return None
    training, validation, samples = Envelope(), Envelope(), list[dict[str, Any]]()
    last_step, tokens, seconds, skipped, figure = 0, 0, 0.0, 0, BITS_PER_BYTE
    for record in _records(folder / FILE):
        kind, step, seconds = record["kind"], record["step"], record["seconds"]
        last_step = max(last_step, step)
        figure = next((known for key, known in FIGURES.items() if key in record), figure)
        value = record.get(figure.key)  # None where it was no finite number
        if kind == "step":
            skipped += not record.get("finite", True)
            tokens = record.get("tokens", 0)
            if value is not None:
                training.add(step, tokens, seconds, value)
        elif kind == "validation" and value is not None:
            validation.add(step, tokens, seconds, value)
        elif kind == "sample":
            if len(samples) == SAMPLES:  # the early ones lie closest together, and differ most: the middle gives way
                del samples[SAMPLES // 2]
            samples.append(record)
    if not last_step:
        return None
    return Curve(figure, training.curve(), validation.curve(), samples, last_step, seconds, skipped)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and {"kind", "step", "seconds"} <= record.keys():
                yield record
