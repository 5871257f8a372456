"""Names beside lines don't lie on each other, and stand as near to their lines as that allows."""

import pytest

from textmill.report.canvas import spread


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),  # far enough apart
        ([2.0, 2.0], [1.5, 2.5]),  # one gives way as much as the other
        ([2.0, 2.4, 5.0], [1.7, 2.7, 5.0]),
        ([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]),  # nothing below the lowest place
        ([], []),
    ],
)
def test_names_are_spread(values: list[float], places: list[float]) -> None:
    assert spread(values, step=1.0, lowest=0.0) == pytest.approx(places)
