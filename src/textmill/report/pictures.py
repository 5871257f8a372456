"""The pictures, as SVG without words: numbers and names of systems are the same in every language.

Colours are names of the page's own (`var(--ink)`), so that one picture serves a light and a dark page. The same facts give
the same bytes: no dates, no random ids, no fonts but matplotlib's own to measure with.
"""

import functools
import io
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec

from .curve import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "accent": "#040404",
    "second": "#050505",
    "paper": "#060606",
}
"""What the page calls a colour, and the stand-in for it that is drawn with."""
INK, MUTED, GRID, ACCENT, SECOND, PAPER = COLOURS.values()
FONT = 12.0
SHOWN = 60  # points of a training curve
PIXELS = 72  # to an inch: matplotlib's SVG counts in points


@dataclass(frozen=True)
class Width:
    """How wide a picture is drawn: a page shows the one that fits its reader's window."""

    name: str
    pixels: int
    height: int
    right: int
    """Pixels kept free for names at the right edge."""


WIDE, NARROW = Width("wide", 720, 330, 118), Width("narrow", 350, 290, 96)


def _own_style(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw with matplotlib's defaults and these, whatever the user has in a matplotlibrc."""

    @functools.wraps(draw)
    def drawn(*arguments: P.args, **named: P.kwargs) -> str:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "textmill", "text.parse_math": False})
            return draw(*arguments, **named)

    return drawn


@_own_style
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
    figure, axes = _canvas(width, bottom=46 if words else 28, top=30 if words else 10)
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
    _name_at_the_right(axes, finals, low, high, width)
    axes.xaxis.set_major_locator(_round_ticks(end, 6 if width is WIDE else 4, tick))
    axes.xaxis.set_major_formatter(lambda value, _: tick(value))
    axes.yaxis.set_major_locator(_ticker().MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:.1f}" if high - low > 0.6 else "{x:.2f}")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    if words:
        axes.set_xlabel(words[0], color=MUTED, fontsize=FONT, loc="right")
        figure.text(0.008, 1 - 14 / width.height, words[1], color=MUTED, fontsize=FONT, va="center")
    return _svg(figure)


@_own_style
def draw_scores(systems: dict[str, dict[str, Any]], width: Width = WIDE) -> str:
    """Each system's score with its interval, ours first and coloured; a shorter distance to the left is better."""
    rows = len(systems)
    shape = Width(width.name, width.pixels, 46 * rows + 36, 24)
    figure, axes = _canvas(shape, left=88)
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
    axes.xaxis.set_major_locator(_ticker().MaxNLocator(6 if width is WIDE else 4))
    axes.xaxis.set_major_formatter("{x:.2f}")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    return _svg(figure)


def _joined(points: Sequence[Point]) -> list[Point]:
    """At most `SHOWN` points of those: a line that still trembles less than it falls."""
    group = -(-len(points) // SHOWN)
    return [functools.reduce(operator.add, points[start : start + group]) for start in range(0, len(points), group or 1)]


def _ticker() -> Any:
    import matplotlib.ticker

    return matplotlib.ticker


def _canvas(width: Width, left: int = 40, bottom: int = 28, top: int = 10) -> "tuple[Figure, Axes]":
    """A figure of its own, no part of pyplot's state, with axes whose margins are pixels."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width.pixels / PIXELS, width.height / PIXELS), dpi=PIXELS)
    FigureCanvasSVG(figure)
    across, down = width.pixels, width.height
    axes = figure.add_axes((left / across, bottom / down, (across - left - width.right) / across, (down - top - bottom) / down))
    axes.set_facecolor("none")
    figure.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=FONT, length=0, pad=7)
    axes.set_axisbelow(True)
    return figure, axes


def _range(training: Sequence[Point], validation: Sequence[Point], finals: dict[str, float]) -> tuple[float, float]:
    """What of the height is shown: the first steps of a training lie far above what one wants to see."""
    known = [*finals.values(), *(point.mean for point in validation), *(point.mean for point in training[-1:])]
    low = min([*known, *(point.mean for point in training)])
    above = max([point.mean for point in training], default=max(known))
    high = min(max(above, max(known)), max(known) + 1.0)
    margin = 0.06 * (high - low or 1)
    return low - margin, high + margin


def _name_at_the_right(axes: "Axes", finals: dict[str, float], low: float, high: float, width: Width) -> None:
    """Each system's name and score beside its line, moved apart where they would lie on each other."""
    step = (high - low) * (FONT + 5) / (axes.get_position().height * width.height)
    places, below = [], low - step
    for name, value in sorted(finals.items(), key=lambda item: item[1]):
        below = max(value, below + step)
        places.append((name, value, below))
    for name, value, place in places:
        colour = SECOND if name == next(iter(finals)) else INK
        axes.annotate(
            f"{name} {value:.2f}", (1, place), (11, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", color=colour, fontsize=FONT, annotation_clip=False,
        )  # fmt: skip


def _round_ticks(end: float, most: int, tick: Callable[[float], str]) -> Any:
    """Ticks at round places: of a clock where `tick` writes times, else of the decimal system."""
    if ":" not in tick(90.0):
        return _ticker().MaxNLocator(most, steps=[1, 2, 5, 10])
    clock = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
    seconds = next((step for step in clock if end / step <= most), -(-end // most // 86400) * 86400)
    return _ticker().MultipleLocator(seconds)


def _svg(figure: "Figure") -> str:
    """The figure as SVG to stand inside a page: no prologue, no styles that reach beyond it, the page's colours and font."""
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("'DejaVu Sans'", "var(--sans)").replace("DejaVu Sans", "var(--sans)")
    text = re.sub(r"(\.\d\d)\d+", r"\1", text)
    for colour, stand_in in COLOURS.items():
        text = text.replace(stand_in, f"var(--{colour})")
    return re.sub(r"\s*\n\s*", "\n", text).strip() + "\n"
