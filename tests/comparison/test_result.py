"""Systems of different measures stand in different tables, each ordered by what is better there, each with its picture."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from textmill.comparison.measures import MEASURES, Amount, Documents, Measure, measure_of
from textmill.comparison.outcome import Outcome
from textmill.comparison.picture import draw_table, mean_band
from textmill.comparison.plan import Limit
from textmill.comparison.result import Result, compare_outcomes
from textmill.comparison.table import markdown_tables, terminal_tables
from textmill.errors import RunError
from textmill.report.curve import Curve, Point
from textmill.score import BITS_PER_BYTE, BITS_PER_MASKED_TOKEN, BITS_PER_MASKED_WORD

BYTES, MASKED = MEASURES[BITS_PER_BYTE.key], MEASURES[BITS_PER_MASKED_WORD.key]


def documents(rate: float, count: int = 30, seed: int = 0) -> Documents:
    """Documents that cost, or give, so much each, and a little more or less."""
    tastes = np.random.default_rng([seed, int(1e4 * rate)]).normal(0, 0.01, count)
    return {("text", str(n)): Amount((rate + taste) * (100 + n), 100 + n) for n, taste in enumerate(tastes)}


def outcome(name: str, seed: int, rate: float, measure: Measure = BYTES, **changes: Any) -> Outcome:
    """What a run would have come to."""
    figure = BITS_PER_BYTE if measure is BYTES else BITS_PER_MASKED_TOKEN
    points = [
        Point(step, step, 10.0 * step + seed, 1, value, value, value) for step in (1, 2, 4) for value in [rate + 3 / step]
    ]
    values: dict[str, Any] = {
        "name": name, "seed": seed, "folder": Path(f"{name}-seed-{seed}"), "parameters": 3_000_000, "flops": 1e12,
        "steps": 100, "tokens": 200_000, "seconds": 42.0, "tokens_per_second": 5000.0, "memory": 400_000_000,
        "energy": 1234.0, "energy_source": "estimate", "assumption": "10 W assumed for each busy core", "machine": "here",
        "measure": measure, "documents": documents(rate, seed=seed),
        "baselines": {"5-gram": documents(rate=2.2 if measure is BYTES else 0.2), "xz": documents(2.0, count=10)},
        "baseline_seconds": {"5-gram": 3.0, "xz": 9.0}, "documents_sha256": "0" * 64,
        "curve": Curve(figure, [], points, [], 4, 42.0, 0),
    }  # fmt: skip
    return Outcome(**{**values, **changes})


def compared(*outcomes: Outcome, seeds: int = 2) -> Result:
    return compare_outcomes(outcomes, Limit(time="2m"), seeds, 500, {"d, seed 0": "no room"})


@pytest.fixture(scope="module")
def both() -> Result:
    """Three recipes that predict, of which two are alike, and two that fill in."""
    rates = {"a": (2.100, 2.104), "b": (2.103, 2.100), "c": (2.29, 2.31)}
    causal = [outcome(name, seed, rate) for name, pair in rates.items() for seed, rate in enumerate(pair)]
    masked = [outcome(n, seed, rate, MASKED) for n, rate in (("bert", 0.4), ("modern", 0.6)) for seed in range(2)]
    return compared(*causal, *masked)


def test_each_measure_has_its_table_ordered_by_what_is_better_there(both: Result) -> None:
    bits, words = both.tables
    first, *_, last = bits.systems
    assert (first.name, last.name) == ("xz", "c") and bits.best in ("a", "b")  # xz scored ten documents only
    assert [system.name for system in words.systems if system.outcomes] == ["modern", "bert"] and words.best == "modern"
    found = {frozenset((each.worse, each.better)): each for each in bits.differences}
    assert found[frozenset("ab")].noise and not found[frozenset("ac")].noise and not found[frozenset("bc")].noise
    assert found[frozenset("ac")].score.value == pytest.approx(0.2, abs=0.02)
    assert found[frozenset(("xz", "a"))].score.count == 10
    [difference] = [each for each in words.differences if {each.worse, each.better} == {"bert", "modern"}]
    assert difference.worse == "bert" and difference.score.high < 0 and difference.noise is False


def test_the_tables_say_what_they_rest_on(both: Result) -> None:
    terminal, markdown = terminal_tables(both), markdown_tables(both)
    for text in (terminal, markdown):
        assert "masked-word accuracy" in text and "d, seed 0 failed: no room" in text and "2m of wall time" in text
        assert "xz scored 10 of 30 documents" in text and "10 W assumed for each busy core" in text
        assert "noise." in text and "1.23 kJ" in text and "400 MB" in text
    assert "(comparison.svg)" in markdown and "(comparison-masked.svg)" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in rows}) == 1
    one = compared(outcome("a", 0, 2.1), seeds=1)
    assert "chance in training is unknown" in terminal_tables(one)


def test_a_picture_ends_in_the_scores_where_training_was_validated_by_them(both: Result) -> None:
    bits, words = ({text.strip() for text in ElementTree.fromstring(draw_table(table, 2)).itertext()} for table in both.tables)
    assert {"a 2.10", "b 2.10", "c 2.30", "5-gram 2.20", "xz 2.00"} <= bits
    names = sorted(text.partition(" ")[0] for text in words if text[:1].isalpha() and text[-1].isdigit())
    assert names == ["bert", "modern"] and any("bits per masked token" in text for text in words)


def test_a_band_is_the_mean_of_straight_lines_and_their_range() -> None:
    band = mean_band([outcome("a", 0, 2.0), outcome("a", 10, 2.2)])
    assert band is not None
    assert list(band.seconds) == [20, 30, 40]  # where both were validated: 10, 20, 40 and 20, 30, 50
    assert band.mean == pytest.approx([(3.5 + 5.2) / 2, (3.125 + 3.7) / 2, (2.75 + 3.325) / 2])
    assert band.low == pytest.approx([3.5, 3.125, 2.75]) and band.high == pytest.approx([5.2, 3.7, 3.325])
    assert mean_band([outcome("a", 0, 2.0, curve=None)]) is None


def test_what_was_judged_by_other_text_or_counted_otherwise_is_refused() -> None:
    with pytest.raises(RunError, match="judged by other documents"):
        compared(outcome("a", 0, 2.1), outcome("b", 0, 2.1, documents_sha256="1" * 64))
    twice = {key: Amount(amount, 2 * size) for key, (amount, size) in documents(2.1).items()}
    with pytest.raises(RunError, match="count the same documents differently"):
        compared(outcome("a", 0, 2.1), outcome("b", 0, 2.1, documents=twice))
    with pytest.raises(RunError, match="d, seed 0: no room"):
        compared()
    with pytest.raises(RunError, match="judged by spans can't be compared; those judged by bits_per_byte or"):
        measure_of("spans")
