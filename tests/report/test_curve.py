"""A training of any length becomes a curve of bounded length that tells the truth about every stretch."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.report.curve import SAMPLES, Envelope, read_curve


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.sampled_from([2, 4, 10]))
def test_no_value_is_lost_however_few_points_are_left(values: list[float], limit: int) -> None:
    envelope = Envelope(limit)
    for step, value in enumerate(values, start=1):
        envelope.add(step, 3 * step, step / 2, value)
    curve = envelope.curve()
    assert len(curve) <= limit + 1
    assert sum(point.count for point in curve) == len(values)
    begin = 0
    for point in curve:
        stretch = values[begin : begin + point.count]
        begin += point.count
        assert (point.step, point.tokens, point.seconds) == (begin, 3 * begin, begin / 2)
        assert (point.low, point.high) == (min(stretch), max(stretch))
        assert point.mean == pytest.approx(sum(stretch) / len(stretch), abs=1e-6)


def test_a_torn_line_and_a_step_that_was_skipped(tmp_path: Path) -> None:
    records = [{"kind": "step", "step": n, "seconds": n / 10, "bits_per_byte": 4.0 - n, "finite": True} for n in (1, 2)]
    records.append({"kind": "step", "step": 3, "seconds": 0.3, "bits_per_byte": None, "finite": False})
    records += [{"kind": "sample", "step": 3, "seconds": 0.3, "text": f"number {n}"} for n in range(20)]
    lines = [json.dumps(record) for record in records]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "step", "st']), encoding="utf-8")
    curve = read_curve(tmp_path)
    assert curve is not None
    assert [point.mean for point in curve.training] == [3.0, 2.0]
    assert (curve.last_step, curve.skipped_steps) == (3, 1)
    assert len(curve.samples) == SAMPLES
    assert curve.samples[0]["text"] == "number 0" and curve.samples[-1]["text"] == "number 19"


def test_where_no_training_was_begun_there_is_no_curve(tmp_path: Path) -> None:
    assert read_curve(tmp_path) is None
    (tmp_path / "metrics.jsonl").write_text("")
    assert read_curve(tmp_path) is None
