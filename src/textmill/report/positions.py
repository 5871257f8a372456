"""The picture of the loss by position: bits per byte against the tokens before, with intervals, and where training ended."""

import math
from collections.abc import Sequence

from .canvas import ACCENT, FONT, GRID, INK, MUTED, WIDE, new_axes, own_style, svg

Point = tuple[float, float, float, float]  # the middle of a bucket, its value, low, high


@own_style
def draw_positions(points: Sequence[Point], trained: int) -> str:
    """The points as a line with its intervals; a dashed line stands at the `trained` context where the points go beyond it."""
    figure, axes = new_axes(WIDE, bottom=46, top=30)
    places, values = [point[0] for point in points], [point[1] for point in points]
    known = [point for point in points if not math.isnan(point[2])]
    if known:
        axes.fill_between(
            [p[0] for p in known], [p[2] for p in known], [p[3] for p in known], color=ACCENT, alpha=0.18, linewidth=0
        )
    axes.plot(places, values, color=ACCENT, linewidth=1.6, marker="o", markersize=4)
    if places[-1] > trained:
        axes.axvline(trained, color=INK, linewidth=1, dashes=(4, 3))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_xlabel("tokens before; dashed: where training ended", color=MUTED, fontsize=FONT, loc="right")
    figure.text(0.008, 1 - 14 / WIDE.height, "bits per byte; lower is better", color=MUTED, fontsize=FONT, va="center")
    return svg(figure)
