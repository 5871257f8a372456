"""The commands that a reader is given to type."""

from pathlib import Path

import pytest

from textmill.report.commands import go_on, learns_samples
from textmill.training.settings import TrainSettings, seconds_of


@pytest.mark.parametrize("time, twice", [("20s", "40s"), ("50s", "100s"), ("90s", "3m"), ("5m", "10m"), ("1.5h", "180m")])
def test_twice_the_time_is_exactly_twice(time: str, twice: str) -> None:
    assert seconds_of(twice) == 2 * seconds_of(time)
    assert go_on(["textmill"], Path("run"), TrainSettings(time=time)).endswith(f"--set train.time={twice}")


def test_whose_text_it_is() -> None:
    assert learns_samples("sample:wikipedia")
    assert not learns_samples(["sample:wikipedia", "my notes/"])
