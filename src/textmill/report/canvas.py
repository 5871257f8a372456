"""What every picture is drawn on: axes with margins in pixels, colours by names, names beside lines; and the SVG of it.

Colours are names of the page's own (`var(--ink)`), so that one picture serves a light and a dark page. The same facts give
the same bytes: no dates, no random ids, no fonts but matplotlib's own to measure with.
"""

import functools
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ParamSpec

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
    "third": "#070707",
    "fourth": "#080808",
    "fifth": "#090909",
    "sixth": "#0a0a0a",
}
"""What the page calls a colour, and the stand-in for it that is drawn with."""
INK, MUTED, GRID, ACCENT, SECOND, PAPER, *_FURTHER = COLOURS.values()
LINES = (SECOND, ACCENT, *_FURTHER)
"""Of lines that are compared, one after the other. A page has no need of the last four: only `standalone` knows them."""
FONT = 12.0
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


def own_style(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw with matplotlib's defaults and these, whatever the user has in a matplotlibrc."""

    @functools.wraps(draw)
    def drawn(*arguments: P.args, **named: P.kwargs) -> str:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "textmill", "text.parse_math": False})
            return draw(*arguments, **named)

    return drawn


def ticker() -> Any:
    import matplotlib.ticker

    return matplotlib.ticker


def new_axes(width: Width, left: int = 40, bottom: int = 28, top: int = 10) -> "tuple[Figure, Axes]":
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


def name_at_the_right(axes: "Axes", labels: Sequence[tuple[str, float, str]], width: Width) -> None:
    """Each (name, score, colour) beside its line, moved apart where they would lie on each other."""
    low, high = axes.get_ylim()
    step = (high - low) * (FONT + 5) / (axes.get_position().height * width.height)
    ordered = sorted(labels, key=lambda label: label[1])
    for (name, value, colour), place in zip(ordered, spread([value for _, value, _ in ordered], step, low)):
        axes.annotate(
            f"{name} {value:.2f}", (1, place), (11, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", color=colour, fontsize=FONT, annotation_clip=False,
        )  # fmt: skip


def spread(values: Sequence[float], step: float, lowest: float) -> list[float]:
    """Places at least `step` apart and none below `lowest`, as near as can be to rising `values`: those that would lie on each
    other share their mean (isotonic regression by pooling)."""
    groups: list[list[float]] = []
    for number, value in enumerate(values):
        groups.append([max(value - number * step, lowest)])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    level = [fmean(group) for group in groups for _ in group]
    return [place + number * step for number, place in enumerate(level)]


def round_ticks(end: float, most: int, tick: Callable[[float], str]) -> Any:
    """Ticks at round places: of a clock where `tick` writes times, else of the decimal system."""
    if ":" not in tick(90.0):
        return ticker().MaxNLocator(most, steps=[1, 2, 5, 10])
    clock = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
    seconds = next((step for step in clock if end / step <= most), -(-end // most // 86400) * 86400)
    return ticker().MultipleLocator(seconds)


def svg(figure: "Figure") -> str:
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


def standalone(picture: str) -> str:
    """The picture as an SVG file of its own, which suits itself to a light or a dark page."""
    return picture.replace(">", ">\n" + STYLE, 1)


STYLE = """<style>
svg { --ink: #444; --muted: #777; --grid: #ddd; --accent: #b45309; --second: #1d5f9e; --paper: #fff; --sans: sans-serif;
--third: #3f7d20; --fourth: #8e4585; --fifth: #8a6d00; --sixth: #0f766e }
@media (prefers-color-scheme: dark) {
svg { --ink: #ccc; --muted: #999; --grid: #333; --accent: #f0a05a; --second: #7cb8f0; --paper: #111;
--third: #8cc86a; --fourth: #d49bd0; --fifth: #d9bd4f; --sixth: #5cc9bc }
}
</style>"""
