"""A comparison as a table: for a terminal, and in Markdown to be pasted into a README."""

import math
from collections.abc import Callable, Iterator

from ..progress import format_bytes, format_count, format_seconds
from ..score import Score
from .result import Difference, Result, System

PICTURE = "comparison.svg"
CAPTION = (
    "Lines: excerpts of the held-out text, the mean over seeds with their range around it; diamonds: all of the text; "
    "dashed: baselines, whose time isn't shown."
)
HEADER = (
    "system",
    "bits per byte",
    "95 % interval",
    "to the best",
    "parameters",
    "tokens",
    "tokens/s",
    "memory",
    "energy",
    "time",
)


def terminal_table(result: Result) -> str:
    """The table, what its intervals hold, every pair's difference, and what failed."""
    rows = [HEADER, *(_row(system, result) for system in result.systems)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([*lines, "", *notes(result), "", *map(sentence, result.differences), *_failed(result)])


def markdown_table(result: Result) -> str:
    """The same in Markdown."""
    rows = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *(_row(system, result) for system in result.systems)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    listed = [f"- {line}" for line in [*map(sentence, result.differences), *_failed(result)]]
    picture = f"![bits per byte against minutes of training]({PICTURE})\n\n{CAPTION}"
    return "\n\n".join(["\n".join(lines), " ".join(notes(result)), "\n".join(listed), picture]) + "\n"


def _row(system: System, result: Result) -> tuple[str, ...]:
    def mean(field: str, written: Callable[[float], str]) -> str:
        value = system.mean(field)
        return "" if value is None else written(value)

    memory = max((outcome.memory for outcome in system.outcomes), default=None)
    return (
        system.name,
        f"{system.score.value:.3f}",
        _interval(system.score),
        _to_the_best(result.difference(system.name)),
        mean("parameters", format_count),
        mean("tokens", format_count),
        mean("tokens_per_second", format_count),
        "" if memory is None else format_bytes(memory),
        mean("energy", _joules),
        format_seconds(system.seconds),
    )


def _to_the_best(difference: Difference | None) -> str:
    return "best" if difference is None else f"{difference.score.value:+.3f}{' noise' if difference.noise else ''}"


def sentence(difference: Difference) -> str:
    """`gpt2 needs 0.031 [0.012, 0.050] bits per byte more than qwen3.`"""
    amount = f"{difference.score.value:.3f} {_interval(difference.score)} bits per byte"
    line = f"{difference.first} needs {amount} more than {difference.second}"
    return (
        line + {True: ": noise.", False: ".", None: "; one document doesn't say how far that can be trusted."}[difference.noise]
    )


def notes(result: Result) -> list[str]:
    """What the figures were made under, and what their intervals hold."""
    trained = [outcome for system in result.systems for outcome in system.outcomes]
    seeds = (
        f"means over {result.seeds} seeds; the intervals hold the choice of documents and chance in training"
        if result.seeds > 1
        else "one seed: the intervals hold the choice of documents alone, and chance in training is unknown"
    )
    assumed = next((outcome.assumption for outcome in trained if outcome.assumption), None)
    documents = max(system.score.count for system in result.systems)
    return [
        f"Each training: {result.limit}; {seeds}.",
        "Memory is the training process's at its peak, libraries included; energy that of the training"
        + (f" ({assumed})." if assumed else "."),
        *(
            [f"Judged by {documents} documents: with fewer than some twenty, intervals are too narrow."]
            if documents < 20
            else []
        ),
        *_partial(result, documents),
    ]


def _partial(result: Result, documents: int) -> Iterator[str]:
    for system in result.systems:
        if system.score.count < documents:
            yield f"{system.name} scored {system.score.count} of {documents} documents; its differences are over these alone."


def _failed(result: Result) -> list[str]:
    return [f"{name} failed: {reason}" for name, reason in result.failures.items()]


def _joules(energy: float) -> str:
    return f"{format_count(energy)}J" if energy >= 1000 else f"{energy:.0f} J"


def _interval(score: Score) -> str:
    return "unknown" if math.isnan(score.low) else f"[{score.low:.3f}, {score.high:.3f}]"
