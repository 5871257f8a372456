"""The comparison's picture: bits per byte against seconds, each recipe a line of its own, the blind baselines level ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..report.canvas import (
    FONT,
    GRID,
    INK,
    LINES,
    MUTED,
    PAPER,
    Width,
    name_at_the_right,
    new_axes,
    own_style,
    round_ticks,
    standalone,
    svg,
    ticker,
)
from ..report.figures import clock
from .intervals import Floats
from .outcome import Outcome
from .result import Result, System

PICTURE = Width("wide", 720, 360, 150)
HEIGHT_SHOWN = 1.0  # bits per byte above the worst end: the first steps lie far above what one wants to see


@dataclass(frozen=True)
class Band:
    """A recipe's validations over its seeds, each an array over the same seconds."""

    seconds: Floats
    mean: Floats
    low: Floats
    high: Floats


@own_style
def draw_comparison(result: Result) -> str:
    """The picture as an SVG file of its own, which suits itself to a light or a dark page."""
    recipes = [system for system in result.systems if system.outcomes]
    levels = [system for system in result.systems if not system.outcomes]
    figure, axes = new_axes(PICTURE, left=44, bottom=46, top=30)
    colours = {system.name: LINES[number % len(LINES)] for number, system in enumerate(recipes)}
    values, end = [system.score.value for system in result.systems], max(system.seconds for system in recipes)
    tops, bottoms = [*values], [*values]
    for system in recipes:
        colour = colours[system.name]
        if band := mean_band(system.outcomes):
            tops, bottoms = [*tops, float(band.high.max())], [*bottoms, float(band.low.min())]
            axes.fill_between(band.seconds, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(band.seconds, band.mean, color=colour, linewidth=1.8, solid_joinstyle="round")
        axes.plot(
            [system.seconds], [system.score.value], marker="D", markersize=8, color=colour, markeredgecolor=PAPER,
            clip_on=False, zorder=5,
        )  # fmt: skip
    for system in levels:
        axes.axhline(system.score.value, color=INK, linewidth=1, dashes=(4, 3))
    low, high = min(bottoms), min(max(tops), max(values) + HEIGHT_SHOWN)
    margin = 0.06 * (high - low or 1)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(0, end)
    name_at_the_right(axes, [(s.name, s.score.value, colours.get(s.name, INK)) for s in result.systems], PICTURE)
    axes.xaxis.set_major_locator(round_ticks(end, 6, clock))
    axes.xaxis.set_major_formatter(lambda value, _: clock(value))
    axes.yaxis.set_major_locator(ticker().MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:.1f}" if high - low > 0.6 else "{x:.2f}")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_xlabel("minutes of training", color=MUTED, fontsize=FONT, loc="right")
    figure.text(0.008, 1 - 14 / PICTURE.height, _heading(result, levels), color=MUTED, fontsize=FONT, va="center")
    return standalone(svg(figure))


def mean_band(outcomes: list[Outcome]) -> Band | None:
    """The mean over seeds and their range, at every second at which one of them was validated while all were trained.

    Between its validations a seed's line is straight. None where a seed was never validated.
    """
    if not all(outcome.validation for outcome in outcomes):
        return None
    curves = [(np.array([p.seconds for p in o.validation]), np.array([p.mean for p in o.validation])) for o in outcomes]
    first, last = max(seconds[0] for seconds, _ in curves), min(seconds[-1] for seconds, _ in curves)
    knots = np.unique(np.clip(np.concatenate([seconds for seconds, _ in curves]), first, last))
    heights = np.array([np.interp(knots, seconds, values) for seconds, values in curves])
    return Band(knots, heights.mean(axis=0), heights.min(axis=0), heights.max(axis=0))


def _heading(result: Result, levels: list[System]) -> str:
    seeds = f"mean over {result.seeds} seeds and their range" if result.seeds > 1 else "one seed"
    return "; ".join(["bits per byte of held-out text, lower is better: " + seeds, *_level_words(levels)])


def _level_words(levels: list[System]) -> Iterator[str]:
    if levels:
        yield "dashed, baselines"
