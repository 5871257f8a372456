"""What the numbers say, in words that a reader can check against them: the page's sentences and rows."""

from dataclasses import dataclass
from typing import Any

import pydantic

from ..ledger import LedgerSettings
from ..progress import format_bytes, rate
from ..score import Figure
from ..training.settings import TrainSettings
from . import commands
from .curve import Curve
from .facts import Facts
from .figures import known_systems
from .phrases import Phrase, duration, phrase, phrase_or, quantity

LITTLE = 3600  # seconds of training, below which one may expect little
SCRIPTS, ROWS = 12, 24  # shown in tables, at most
PROGRAM = ["textmill"]


@dataclass(frozen=True)
class Bar:
    """A row of the funnel: what it counts, how many, and whether they go on."""

    name: Phrase
    count: int
    kind: str


@dataclass(frozen=True)
class Command:
    what: Phrase
    text: str


@dataclass(frozen=True)
class Verdict:
    """Whether the model is better than the baselines: in a few words, and with the numbers."""

    short: Phrase
    full: Phrase


@dataclass(frozen=True)
class Story:
    lead: Phrase
    state: Phrase | None
    verdict: Verdict | None
    trust: Phrase
    funnel: list[Bar]
    text_speed: Phrase | None
    next: list[Command]
    energy_source: Phrase | None
    prices: Phrase | None
    scripts: list[tuple[Phrase, dict[str, Any]]]
    curve_rows: list[dict[str, Any]]
    kernels: list[tuple[Phrase, Phrase | str]]
    lineage: list[tuple[Phrase, str]]


def story(facts: Facts) -> Story:
    """The words for a run."""
    return Story(
        lead=_lead(facts),
        state=_state(facts),
        verdict=verdict(facts.evaluation, facts.figure) if facts.evaluation and known_systems(facts) else None,
        trust=_trust(facts),
        funnel=_funnel(facts.corpus) if facts.corpus else [],
        text_speed=_text_speed(facts),
        next=_next(facts),
        energy_source=_energy_source(facts.total_cost) if facts.total_cost else None,
        prices=_prices(facts) if facts.total_cost else None,
        scripts=_scripts(facts.tokenizer) if facts.tokenizer else [],
        curve_rows=_curve_rows(facts.curve) if facts.curve else [],
        kernels=_kernels(facts),
        lineage=_lineage(facts),
    )


def _lead(facts: Facts) -> Phrase:
    """What the model is, in one sentence, as far as it is there."""
    source = str(facts.recipe.get("corpus", {}).get("source", ""))
    if facts.summary is None or facts.corpus is None:
        return phrase("lead.begun", source=source)
    return phrase(
        "lead.whole",
        parameters=quantity(facts.summary["parameters"]),
        documents=f"{facts.corpus['kept']['train']['documents']:,}",
        source=source,
        time=duration(facts.summary["seconds"]),
        machine=facts.summary["machine"],
    )


def _state(facts: Facts) -> Phrase | None:
    """What is missing to a whole life; None where nothing is."""
    missing = facts.missing_stage
    if missing is None:
        return None
    if missing == "train" and facts.curve:
        planned = facts.steps_planned
        if facts.running:
            return phrase("state.running", step=f"{facts.curve.last_step:,}")
        if planned:
            return phrase("state.stopped_of", step=f"{facts.curve.last_step:,}", steps=f"{planned:,}")
        return phrase("state.stopped", step=f"{facts.curve.last_step:,}")
    return phrase("state.missing", stage=phrase(f"stage.{missing}"))


def _trust(facts: Facts) -> Phrase:
    """How far to believe what the model makes of text."""
    if facts.guesses:
        return phrase("trust.spans" if facts.fills_spans else "trust.guesses")
    return phrase("trust.minutes" if facts.curve is None or facts.curve.seconds < LITTLE else "trust.base")


def verdict(evaluation: dict[str, Any], figure: Figure) -> Verdict:
    """Whether the model is better than the hardest baseline, or whether that may be chance: the 95 % interval of the
    difference over the same documents either holds zero or it doesn't."""
    place = evaluation["closest"]
    if place is None:
        return _verdict("alone", {})
    difference = evaluation["differences"][place]
    values: dict[str, Any] = {
        "figure": phrase(f"figure.{figure.key}"),
        "baseline": evaluation["systems"][place + 1]["name"],
        "value": f"{abs(difference['value']):.3f}",
        "documents": f"{difference['count']:,}",
    }
    if difference["low"] is None or difference["high"] is None:
        return _verdict("unknown", values)
    values |= {"low": f"{difference['low']:+.3f}", "high": f"{difference['high']:+.3f}"}
    if difference["high"] < 0:
        return _verdict("better", values)
    return _verdict("worse" if difference["low"] > 0 else "noise", values)


def _verdict(kind: str, values: dict[str, Any]) -> Verdict:
    return Verdict(phrase(f"verdict.{kind}_short", **values), phrase(f"verdict.{kind}", **values))


def _funnel(corpus: dict[str, Any]) -> list[Bar]:
    kept = corpus["kept"]
    dropped = [
        Bar(phrase_or(f"rule.{rule.replace(' ', '_')}", f"{step}: {rule}"), count, "dropped")
        for step, rules in corpus["dropped"].items()
        for rule, count in rules.items()
    ]
    return [
        Bar(phrase("funnel.read"), corpus["read"], "read"),
        *sorted(dropped, key=lambda bar: -bar.count),
        Bar(phrase("funnel.train"), kept["train"]["documents"], "kept"),
        Bar(phrase("funnel.validation"), kept["validation"]["documents"], "held"),
    ]


def _text_speed(facts: Facts) -> Phrase | None:
    """How fast the text was cleaned and cut into tokens, in the attempts that these were made in."""
    corpus, tokens = facts.stages.get("corpus"), facts.stages.get("tokens")
    if not (corpus and tokens and corpus["seconds"] and tokens["seconds"]):
        return None
    return phrase(
        "text.speed",
        documents=rate(corpus["summary"]["read"] / corpus["seconds"]),
        bytes=format_bytes(tokens["summary"]["text_bytes"] / tokens["seconds"]),
    )


def _next(facts: Facts) -> list[Command]:
    finish = Command(phrase("next.finish"), commands.go_on(PROGRAM, facts.folder))
    recipe = facts.folder / "recipe.toml"
    start = [Command(phrase("next.start"), commands.start(PROGRAM, recipe))]
    if not commands.learns_samples(facts.recipe.get("corpus", {}).get("source", [])):
        start = []
    if facts.missing_stage:
        return [finish, *start]
    prompt = facts.recipe.get("train", {}).get("sample_prompt") or commands.PROMPT
    result = [Command(phrase("next.generate"), commands.generate(PROGRAM, facts.folder, prompt))]
    if facts.guesses:
        result = [Command(phrase("next.fill"), commands.fill(PROGRAM, facts.folder))]
    try:
        settings = TrainSettings(**facts.recipe.get("train", {}))
        result.append(Command(phrase("next.prolong"), commands.go_on(PROGRAM, facts.folder, settings)))
    except pydantic.ValidationError:  # a recipe of another version; how it would be prolonged isn't known
        pass
    return [*result, *start]


def _energy_source(total: dict[str, Any]) -> Phrase:
    sources = set(total["energy_source"].split(" + "))
    if "estimate" not in sources:
        return phrase("answer.source_measured")
    return phrase("answer.source_estimate" if sources == {"estimate"} else "answer.source_mixed")


def _prices(facts: Facts) -> Phrase:
    """What the costs rest on, so that a reader can reckon again with other prices."""
    prices = LedgerSettings(**facts.recipe.get("ledger", {}))
    seconds = sum(cost.get("cpu_seconds", 0.0) for cost in facts.costs.values())
    return phrase(
        "cost.assumption" if seconds else "cost.measured",
        watts=f"{prices.watts_per_core:g}",
        seconds=f"{seconds:,.0f}",
        price=f"{prices.price_per_kwh:g}",
        hour=f"{prices.price_per_hour:g}",
        currency=prices.currency,
        co2=f"{prices.co2_per_kwh:g}",
    )


def _scripts(card: dict[str, Any]) -> list[tuple[Phrase, dict[str, Any]]]:
    """The scripts that make up most of the text, with how many tokens their characters take."""
    known = [(name, script) for name, script in card["scripts"].items() if script["tokens_per_character"] is not None]
    known = known[:SCRIPTS]
    most = max((script["tokens_per_character"] for _, script in known), default=1.0) or 1.0
    return [
        (
            phrase_or(f"script.{name.lower()}", name),
            {
                "share": _share(script["characters"] / card["characters"]),
                "fertility": script["tokens_per_character"],
                "width": 100 * script["tokens_per_character"] / most,
            },
        )
        for name, script in known
    ]


def _share(value: float) -> str:
    return "<0.1%" if value < 0.001 else f"{value:.1%}"


def _curve_rows(curve: Curve) -> list[dict[str, Any]]:
    """The curve as some rows: each validation, and the training's mean at that moment; else some of its points."""
    points = curve.validation or curve.training
    points = points[:: -(-len(points) // ROWS)]
    rows = []
    for point in points:
        near = min(curve.training, key=lambda other: abs(other.step - point.step), default=None)
        rows.append(
            {
                "step": point.step,
                "seconds": point.seconds,
                "training": near.mean if near else None,
                "validation": point.mean if curve.validation else None,
            }
        )
    return rows


def _kernels(facts: Facts) -> list[tuple[Phrase, Phrase | str]]:
    """How the training ran on this machine."""
    kernels = (facts.choices or {}).get("kernels", {})
    named = ("device", "threads", "dtype", "attention", "micro_batch", "compile")
    return [(phrase(f"kernel.{name}"), _plain(kernels[name])) for name in named if name in kernels]


def _plain(value: Any) -> Phrase | str:
    return phrase("kernel.yes" if value else "kernel.no") if isinstance(value, bool) else str(value)


def _lineage(facts: Facts) -> list[tuple[Phrase, str]]:
    """What this model came of, so that another can check that it has the same."""
    rows = [(phrase("lineage.stage", stage=phrase(f"stage.{name}")), entry["hash"]) for name, entry in facts.stages.items()]
    if facts.corpus:
        kept = facts.corpus["kept"]
        rows += [(phrase(f"lineage.{side}"), kept[side]["sha256"]) for side in ("train", "validation")]
    rows += [(phrase("lineage.version", name=name), version) for name, version in facts.versions.items() if version]
    if facts.choices:
        rows.append((phrase("lineage.machine"), str(facts.choices.get("machine", ""))))
    return rows
