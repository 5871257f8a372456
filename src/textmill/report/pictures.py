"""The pictures, as SVG without words: numbers and names of systems are the same in every language."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from .canvas import (
    ACCENT,
    FONT,
    GRID,
    INK,
    MUTED,
    PAPER,
    SECOND,
    WIDE,
    Width,
    name_at_the_right,
    new_axes,
    own_style,
    round_ticks,
    svg,
    ticker,
)
from .curve import Point

SHOWN = 60  # points of a training curve


@own_style
def draw_curve(
    training: Sequence[Point],
    validation: Sequence[Point],
    finals: dict[str, float],
    position: Callable[[Point], float],
    tick: Callable[[float], str],
    width: Width = WIDE,
    words: tuple[str, str] | None = None,
) -> str:
    """A figure against `position` (seconds, tokens), which `tick` writes; `finals` are systems' scores, ours first.

    `words` are what the axes hold, for a picture that stands alone; a page says it in its own language.
    """
    training = _joined(training)
    figure, axes = new_axes(width, bottom=46 if words else 28, top=30 if words else 10)
    end = max((position(point) for point in [*training, *validation]), default=0) or 1
    low, high = _range(training, validation, finals)
    places = [position(point) for point in training]
    axes.fill_between(places, [p.low for p in training], [p.high for p in training], color=ACCENT, alpha=0.18, linewidth=0)
    axes.plot(places, [point.mean for point in training], color=ACCENT, linewidth=1.6, solid_joinstyle="round")
    checks = [position(point) for point in validation]
    axes.plot(checks, [p.mean for p in validation], color=SECOND, linewidth=1, marker="o", markersize=6, markeredgecolor=PAPER)
    for number, value in enumerate(finals.values()):
        if number:
            axes.axhline(value, color=INK, linewidth=1, dashes=(4, 3))
        else:
            axes.plot([end], [value], marker="D", markersize=8, color=SECOND, markeredgecolor=PAPER, clip_on=False, zorder=5)
    axes.set_xlim(0, end)
    axes.set_ylim(low, high)
    colours = [SECOND, *[INK] * len(finals)]
    name_at_the_right(axes, [(name, value, colour) for (name, value), colour in zip(finals.items(), colours)], width)
    axes.xaxis.set_major_locator(round_ticks(end, 6 if width is WIDE else 4, tick))
    axes.xaxis.set_major_formatter(lambda value, _: tick(value))
    axes.yaxis.set_major_locator(ticker().MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:.1f}" if high - low > 0.6 else "{x:.2f}")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    if words:
        axes.set_xlabel(words[0], color=MUTED, fontsize=FONT, loc="right")
        figure.text(0.008, 1 - 14 / width.height, words[1], color=MUTED, fontsize=FONT, va="center")
    return svg(figure)


@own_style
def draw_scores(systems: dict[str, dict[str, Any]], width: Width = WIDE) -> str:
    """Each system's score with its interval, ours first and coloured; a shorter distance to the left is better."""
    rows = len(systems)
    shape = Width(width.name, width.pixels, 46 * rows + 36, 24)
    figure, axes = new_axes(shape, left=88)
    bounds = []
    for row, score in enumerate(systems.values()):
        value = score["value"]
        low, high = (value if score[key] is None else score[key] for key in ("low", "high"))
        bounds += [low, high]
        colour = SECOND if row == 0 else INK
        axes.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.vlines([low, high], row - 0.13, row + 0.13, color=colour, linewidth=1.4)
        axes.plot([value], [row], marker="D" if row == 0 else "o", markersize=9, color=colour, markeredgecolor=PAPER)
        axes.annotate(
            f"{value:.2f}", (value, row), (0, 11), textcoords="offset points", ha="center", color=colour, fontsize=FONT
        )
    pad = 0.12 * (max(bounds) - min(bounds) or 1)
    axes.set_xlim(min(bounds) - pad, max(bounds) + pad)
    axes.set_ylim(rows - 0.45, -0.75)
    axes.set_yticks(range(rows), list(systems), color=INK)
    axes.xaxis.set_major_locator(ticker().MaxNLocator(6 if width is WIDE else 4))
    axes.xaxis.set_major_formatter("{x:.2f}")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    return svg(figure)


def _joined(points: Sequence[Point]) -> list[Point]:
    """At most `SHOWN` points of those: a line that still trembles less than it falls."""
    group = -(-len(points) // SHOWN)
    return [functools.reduce(operator.add, points[start : start + group]) for start in range(0, len(points), group or 1)]


def _range(training: Sequence[Point], validation: Sequence[Point], finals: dict[str, float]) -> tuple[float, float]:
    """What of the height is shown: the first steps of a training lie far above what one wants to see."""
    known = [*finals.values(), *(point.mean for point in validation), *(point.mean for point in training[-1:])]
    low = min([*known, *(point.mean for point in training)])
    above = max([point.mean for point in training], default=max(known))
    high = min(max(above, max(known)), max(known) + 1.0)
    margin = 0.06 * (high - low or 1)
    return low - margin, high + margin
