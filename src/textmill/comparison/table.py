"""A comparison as tables: for a terminal, and in Markdown to be pasted into a README."""

from collections.abc import Callable, Iterator

from ..evaluation.table import columns, interval
from ..progress import format_bytes, format_count, format_seconds
from .result import Difference, Result, System, Table

COSTS = ("parameters", "tokens", "tokens/s", "memory", "energy", "time")
CAPTION = (
    "Lines: excerpts of the held-out text, the mean over seeds with their range around it; diamonds: all of the text; "
    "dashed: baselines, whose time isn't shown."
)


def terminal_tables(result: Result) -> str:
    """The tables, what their intervals hold, every pair's difference, and what failed."""
    parts = []
    for table in result.tables:
        parts += [
            "\n".join(columns(list(_rows(table)))),
            "\n".join(sentence(table, difference) for difference in table.differences),
        ]
    return "\n\n".join([*parts, "\n".join([*notes(result), *_failed(result)])])


def markdown_tables(result: Result) -> str:
    """The same in Markdown, with the pictures."""
    parts = []
    for table in result.tables:
        header, *rows = _rows(table)
        rows = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
        parts += [
            "\n".join(f"| {' | '.join(row)} |" for row in rows),
            "\n".join(f"- {sentence(table, difference)}" for difference in table.differences),
            f"![{table.measure.name}: how it was reached]({table.measure.picture})",
        ]
    return "\n\n".join([*filter(None, parts), " ".join([CAPTION, *notes(result), *_failed(result)])]) + "\n"


def _rows(table: Table) -> Iterator[tuple[str, ...]]:
    yield ("system", table.measure.name, "95 % interval", "to the best", *COSTS)
    for system in table.systems:
        costs = _costs(system) if system.outcomes else [""] * (len(COSTS) - 1)
        score, difference = system.score, table.difference(system.name)
        yield (
            system.name,
            f"{score.value:.3f}",
            interval(score),
            "best" if difference is None else f"{difference.score.value:+.3f}{' noise' if difference.noise else ''}",
            *costs,
            format_seconds(system.seconds),
        )


def _costs(system: System) -> Iterator[str]:
    written: dict[str, Callable[[float], str]] = {
        "parameters": format_count,
        "tokens": format_count,
        "tokens_per_second": format_count,
    }
    for field, write in written.items():
        yield write(system.mean(field) or 0)
    yield format_bytes(max(outcome.memory for outcome in system.outcomes))
    energy = system.mean("energy") or 0
    yield f"{format_count(energy)}J" if energy >= 1000 else f"{energy:.0f} J"


def sentence(table: Table, difference: Difference) -> str:
    """`gpt2 less qwen3: +0.031 [0.012, 0.050] bits/byte.` or `…: noise.`"""
    score, ending = difference.score, {True: ": noise.", False: ".", None: "; one document doesn't say how sure that is."}
    return f"{score.name}: {score.value:+.3f} {interval(score)} {score.unit}{ending[difference.noise]}"


def notes(result: Result) -> Iterator[str]:
    """What the figures were made under, and what their intervals hold."""
    systems = [system for table in result.tables for system in table.systems]
    seeds = (
        f"means over {result.seeds} seeds; the intervals hold the choice of documents and chance in training"
        if result.seeds > 1
        else "one seed: the intervals hold the choice of documents alone, and chance in training is unknown"
    )
    yield f"Each training: {result.limit}; {seeds}."
    assumed = next((o.assumption for system in systems for o in system.outcomes if o.assumption), None)
    energy = f"energy that of the training ({assumed})" if assumed else "energy that of the training"
    yield f"Memory is the training process's at its peak, libraries included; {energy}."
    for table in result.tables:
        if table.documents < 20:
            yield f"Judged by {table.documents} documents: with fewer than some twenty, intervals are too narrow."
        for system in table.systems:
            if system.score.count < table.documents:
                yield f"{system.name} scored {system.score.count} of {table.documents} documents, and is compared over these."


def _failed(result: Result) -> list[str]:
    return [f"{name} failed: {reason}" for name, reason in result.failures.items()]
