"""What the benchmark found, as one table for people and as one object for scripts."""

import itertools
from collections.abc import Sequence
from typing import Any

from .measurement import Measurement, Missing

NAME_WIDTH = 34
UNITS = {"operations/s": (1e9, "Gop/s"), "bytes/s": (1e9, "GB/s")}
BESIDE = "*"  # marks what was measured beside busy programs


def table(found: Sequence[Measurement | Missing]) -> str:
    """A line for each measurement, under its part: median, least and most, share of the limit and the limit's name."""
    lines = [f"{'':<{NAME_WIDTH}}  {'median':>9} {'':<9} {'minimum – maximum':<21} of the limit"]
    for part, ones in itertools.groupby(found, key=lambda one: one.part):
        lines += ["", part, *(_line(one) for one in ones)]
    if any(isinstance(one, Measurement) and one.crowded for one in found):
        lines += ["", f"{BESIDE} other programs used the cores meanwhile: measure again on a quiet machine"]
    return "\n".join(lines)


def _line(one: Measurement | Missing) -> str:
    name = f"  {one.name:<{NAME_WIDTH - 2}}"
    if isinstance(one, Missing):
        return f"{name}  not measured: {one.why}"
    divisor, unit = UNITS.get(one.unit, (1.0, one.unit))
    least, most = (number(rate / divisor) for rate in (min(one.rates), max(one.rates)))
    line = f"{name}{BESIDE if one.crowded else ' '} {number(one.median / divisor):>9} {unit:<9} {f'{least} – {most}':<21}"
    return (line + ("" if one.share is None else f" {one.share:4.0%} of {one.limit}")).rstrip()


def number(value: float) -> str:
    """Three digits, and all that stand before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_json(found: Sequence[Measurement | Missing]) -> list[dict[str, Any]]:
    """The same, whole numbers and all: rates in units per second, `limit_rate` what the limit allows."""
    return [_entry(one) for one in found]


def _entry(one: Measurement | Missing) -> dict[str, Any]:
    if isinstance(one, Missing):
        return {"part": one.part, "name": one.name, "not_measured": one.why}
    rates = {"minimum": min(one.rates), "median": one.median, "maximum": max(one.rates), "runs": len(one.rates)}
    limit = {"limit": one.limit, "limit_rate": one.limit_rate, "share": one.share}
    return {"part": one.part, "name": one.name, "unit": one.unit, **rates, **limit, "crowded": one.crowded}
