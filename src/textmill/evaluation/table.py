"""A comparison of language models as plain text for a terminal."""

import math
from collections.abc import Sequence

from ..score import Score
from .bits_per_byte import Evaluation
from .masked_evaluation import MaskedEvaluation


def render_evaluation(evaluation: Evaluation, other: str = "baseline") -> str:
    """The comparison as plain text for a terminal: a table, the differences, and what they mean.

    `other` is what the systems beside the first are called.
    """
    header = ("system", evaluation.figure.unit, "95 % interval", "per token", "per word", "documents")
    rows = [
        (
            system.name,
            f"{system.bits_per_byte.value:.3f}",
            interval(system.bits_per_byte),
            f"{system.token_perplexity.value:.4g}",
            f"{system.word_perplexity.value:.4g}",
            str(system.bits_per_byte.count),
        )
        for system in evaluation.systems
    ]
    note = "(per token, per word: perplexity; a document's end counts as one)"
    return "\n".join([*columns([header, *rows]), note, *_differences(evaluation, other)])


def render_masked_evaluation(evaluation: MaskedEvaluation, other: str = "baseline") -> str:
    """The same of systems that guess hidden words."""
    header = ("system", "accuracy", "95 % interval", "bits/word", "95 % interval", "documents")
    rows = [
        (
            system.name,
            f"{system.accuracy.value:.3f}",
            interval(system.accuracy),
            f"{system.bits_per_masked_word.value:.3f}",
            interval(system.bits_per_masked_word),
            str(system.accuracy.count),
        )
        for system in evaluation.systems
    ]
    note = "(accuracy: share of the hidden words that are guessed whole; a model is asked for each piece)"
    return "\n".join([*columns([header, *rows]), note, *_differences(evaluation, other)])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, for a terminal: the first column begins at the left, the others end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def interval(score: Score) -> str:
    """`[2.104, 2.155]`, or that it isn't known."""
    return "unknown" if math.isnan(score.low) else f"[{score.low:.3f}, {score.high:.3f}]"


def _differences(evaluation: Evaluation | MaskedEvaluation, other: str) -> list[str]:
    label_width = max((len(difference.name) for difference in evaluation.differences), default=0)
    lines = [
        f"{difference.name.ljust(label_width)}  {difference.value:+.3f} {interval(difference)} {difference.unit},"
        f" over {_documents(difference.count)} that both scored"
        for difference in evaluation.differences
    ]
    return lines if evaluation.closest is None else [*lines, _verdict(evaluation, evaluation.closest, other)]


def _verdict(evaluation: Evaluation | MaskedEvaluation, closest: int, other: str) -> str:
    difference, baseline = evaluation.differences[closest], evaluation.systems[1 + closest].name
    name = evaluation.systems[0].name
    which = f"the better {other}, {baseline}" if len(evaluation.differences) > 1 else baseline
    below = difference.value <= 0
    low, high = (-difference.high, -difference.low) if below else (difference.low, difference.high)
    claim = f"{evaluation.figure.name} {'below' if below else 'above'} {which}"
    if math.isnan(low):
        return f"{name} is {abs(difference.value):.2f} {claim}; one document doesn't say how far that can be trusted."
    sentence = f"{name} is {abs(difference.value):.2f} [{low:.2f}, {high:.2f}] {claim}"
    return f"{sentence}." if low > 0 else f"{sentence}; the interval holds zero, so neither is shown to be the better."


def _documents(count: int) -> str:
    return "the one document" if count == 1 else f"the {count} documents"
