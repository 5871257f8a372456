"""The comparison's picture: bits per byte against seconds, each recipe a line of its own, the blind baselines level ones."""

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
from ..report.figures import TIME, clock
from .intervals import Floats
from .outcome import Outcome
from .result import Table

PICTURE = Width("wide", 720, 360, 150)
HEIGHT_SHOWN = 1.0  # bits above the worst end: the first steps lie far above what one wants to see


@dataclass(frozen=True)
class Band:
    """A recipe's validations over its seeds, each an array over the same seconds."""

    seconds: Floats
    mean: Floats
    low: Floats
    high: Floats


@own_style
def draw_table(table: Table, seeds: int) -> str:
    """The picture as an SVG file of its own, which suits itself to a light or a dark page.

    Where trainings are validated by the table's own measure, each ends in a diamond, its score over all documents.
    """
    recipes = [system for system in table.systems if system.outcomes]
    bands = {system.name: band for system in recipes if (band := mean_band(system.outcomes))}
    figure_name = next((o.curve.figure.name for system in recipes for o in system.outcomes if o.curve), table.measure.name)
    ends = {s.name: s.score.value for s in table.systems} if figure_name == table.measure.name else {}
    labels = ends or {name: float(band.mean[-1]) for name, band in bands.items()}
    colours = {system.name: LINES[number % len(LINES)] for number, system in enumerate(recipes)}
    figure, axes = new_axes(PICTURE, left=44, bottom=46, top=30)
    for name, band in bands.items():
        axes.fill_between(band.seconds, band.low, band.high, color=colours[name], alpha=0.18, linewidth=0)
        axes.plot(band.seconds, band.mean, color=colours[name], linewidth=1.8, solid_joinstyle="round")
    for system in table.systems if ends else ():
        if system.outcomes:
            axes.plot(
                [system.seconds], [system.score.value], marker="D", markersize=8, color=colours[system.name],
                markeredgecolor=PAPER, clip_on=False, zorder=5,
            )  # fmt: skip
        else:
            axes.axhline(system.score.value, color=INK, linewidth=1, dashes=(4, 3))
    low, high = _range(labels, bands)
    end = max(system.seconds for system in recipes)
    axes.set_xlim(0, end)
    axes.set_ylim(low, high)
    name_at_the_right(axes, [(name, value, colours.get(name, INK)) for name, value in labels.items()], PICTURE)
    axes.xaxis.set_major_locator(round_ticks(end, 6, clock))
    axes.xaxis.set_major_formatter(lambda value, _: clock(value))
    axes.yaxis.set_major_locator(ticker().MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:.1f}" if high - low > 0.7 else "{x:.2f}")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_xlabel(TIME, color=MUTED, fontsize=FONT, loc="right")
    heading = f"{figure_name} on held-out text, lower is better; {seeds_in_words(seeds)}"
    figure.text(0.008, 1 - 14 / PICTURE.height, heading, color=MUTED, fontsize=FONT, va="center")
    return standalone(svg(figure))


def seeds_in_words(seeds: int) -> str:
    """What a line with its band is."""
    return f"mean over {seeds} seeds and their range" if seeds > 1 else "one seed"


def _range(labels: dict[str, float], bands: dict[str, Band]) -> tuple[float, float]:
    """What of the height is shown."""
    values = list(labels.values())
    low = min([*values, *(float(band.low.min()) for band in bands.values())])
    high = min(max([*values, *(float(band.high.max()) for band in bands.values())]), max(values) + HEIGHT_SHOWN)
    margin = 0.06 * (high - low or 1)
    return low - margin, high + margin


def mean_band(outcomes: list[Outcome]) -> Band | None:
    """The mean over seeds and their range, at every second at which one of them was validated while all were trained.

    Between its validations a seed's line is straight. None where a seed was never validated.
    """
    validations = [outcome.curve.validation if outcome.curve else [] for outcome in outcomes]
    if not all(validations):
        return None
    curves = [(np.array([p.seconds for p in points]), np.array([p.mean for p in points])) for points in validations]
    first, last = max(seconds[0] for seconds, _ in curves), min(seconds[-1] for seconds, _ in curves)
    knots = np.unique(np.clip(np.concatenate([seconds for seconds, _ in curves]), first, last))
    heights = np.array([np.interp(knots, seconds, values) for seconds, values in curves])
    return Band(knots, heights.mean(axis=0), heights.min(axis=0), heights.max(axis=0))
