"""Which pictures a run has, each drawn for a wide and for a narrow window."""

import operator
from typing import Any

from markupsafe import Markup

from ..progress import format_count
from .canvas import NARROW, WIDE, standalone
from .facts import Facts
from .pictures import draw_curve, draw_scores


def figures(facts: Facts) -> dict[str, dict[str, Markup]]:
    """The pictures by name, then by width; a picture for which the run holds nothing isn't there."""
    drawn: dict[str, dict[str, Markup]] = {}
    scored = finals(facts)
    for width in (WIDE, NARROW):
        pictures = {}
        if facts.evaluation:
            pictures["scores"] = draw_scores({each["name"]: each[facts.figure.key] for each in known_systems(facts)}, width)
        if facts.curve and (facts.curve.training or facts.curve.validation):
            training, validation = facts.curve.training, facts.curve.validation
            pictures["seconds"] = draw_curve(training, validation, scored, SECONDS, clock, width)
            pictures["tokens"] = draw_curve(training, validation, scored, TOKENS, format_count, width)
        for name, picture in pictures.items():
            drawn.setdefault(name, {})[width.name] = Markup(picture)
    return drawn


def standalone_curve(facts: Facts) -> str:
    """The curve over time as an SVG file of its own, with words, that suits itself to a light or a dark page."""
    curve = facts.curve
    assert curve is not None
    words = (TIME, f"{curve.figure.name}: {CAPTION}")
    return standalone(draw_curve(curve.training, curve.validation, finals(facts), SECONDS, clock, words=words))


SECONDS, TOKENS = operator.attrgetter("seconds"), operator.attrgetter("tokens")  # what a curve is drawn against
TIME, CAPTION = "minutes of training", "line, training text; dots, held-out text; lower is better"


def known_systems(facts: Facts) -> list[dict[str, Any]]:
    """The systems whose figure is a number."""
    systems = facts.evaluation["systems"] if facts.evaluation else []
    return [system for system in systems if system[facts.figure.key]["value"] is not None]


def finals(facts: Facts) -> dict[str, float]:
    """What each system reached in the end, where that is measured in the curve's own figure."""
    if facts.curve is None or facts.curve.figure != facts.figure:
        return {}
    return {system["name"]: system[facts.figure.key]["value"] for system in known_systems(facts)}


def clock(seconds: float) -> str:
    """`0:30`, `12:00`, `2:00:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours = minutes // 60
    return f"{hours}:{minutes % 60:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
