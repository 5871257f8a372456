"""The whole `textmill run`, killed with SIGKILL thirty times over all its stages, ends with the same bits.

The moments are drawn by a seed: half of them are changes of files, just before they happen (between two stages, between the
two renames that replace a folder), half are some milliseconds after one, wherever the process then is: within the
tokenizer's training, a step, a baseline.
"""

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

MOMENTS = {"corpus": 5, "tokenizer": 4, "tokens": 4, "train": 5, "model": 4, "evaluate": 4, "report": 4}
LONGEST_DELAY = 0.1  # seconds; the last bits don't depend on it, nor on the machine's speed
SMALL = [
    "--set", "train.steps=30", "--set", "evaluate.maximum_bytes=4000", "--set", "evaluate.baseline_bytes=20000",
    "--set", "evaluate.bootstrap_samples=100",
]  # fmt: skip
CLOCKED = {"seconds", "tokens_per_second", "share_of_peak", "resumed_from"}  # of a training


def moments(changes: dict[str, int], seed: int) -> list[tuple[str, int, float]]:
    """Thirty moments, stage by stage: [stage, n-th change of a file there, delay after it]."""
    chance = random.Random(seed)
    drawn = []
    for stage, count in MOMENTS.items():
        # Training goes on from its checkpoints, so each attempt at it is shorter than the whole.
        last = changes[stage] if stage != "train" else changes[stage] // (count + 1)
        for number in range(count):
            delayed = number % 2 == 0  # and begun early, so that the stage isn't over by then
            delay = chance.uniform(0.001, LONGEST_DELAY) if delayed else 0
            drawn.append((stage, chance.randint(1, last // 3 if delayed else last), delay))
    return drawn


def outputs(run: Path) -> dict[str, Any]:
    """Everything that the stages have written, but for times."""
    folders = ("corpus", "tokenizer", "tokens", "checkpoints", "model")
    found: dict[str, Any] = {
        str(path.relative_to(run)): path.read_bytes()
        for folder in folders
        for path in sorted((run / folder).rglob("*"))
        if path.is_file() and path.name not in ("textmill.json", "state.json")
    }
    card = json.loads((run / "model" / "textmill.json").read_text())
    del card["fingerprint"]  # of the times too
    found["textmill.json"] = {**card, "training": {k: v for k, v in card["training"].items() if k not in CLOCKED}}
    found["evaluation.json"] = json.loads((run / "evaluation.json").read_text())
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found["metrics"] = [
        {key: value for key, value in record.items() if key not in CLOCKED} for record in records if record["kind"] != "sample"
    ]
    return found


RECURRENT = ["--set", "model.architecture=lstm", "--set", "train.weight_dropout=0.1", "--set", "train.attention=auto"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, so that thirty starts don't import torch thirty times")
def test_killed_at_thirty_moments_ends_with_the_bits_of_an_uninterrupted_run(place: Path, textmill) -> None:
    whole = textmill(place, "run", "recipe.toml", "--out", "whole", *SMALL)
    assert whole.returncode == 0, whole.stderr
    killed = 0
    for moment in moments(whole.changes, seed=3):
        ended = textmill(place, "run", "recipe.toml", "--out", "broken", *SMALL, kill=(*moment, signal.SIGKILL))
        assert ended.returncode in (0, -9), (moment, ended.stderr)  # 0: it was done before the delay had passed
        killed += ended.returncode == -9
    assert killed >= 28
    end = textmill(place, "run", "recipe.toml", "--out", "broken", *SMALL)
    assert end.returncode == 0 and (place / "broken" / "report.html").is_file(), end.stderr
    expected, found = outputs(place / "whole"), outputs(place / "broken")
    assert [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)] == []
    assert not [*(place / "broken").rglob(".*.partial"), *(place / "broken").rglob(".*.replaced")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, so that some starts don't import torch each time")
def test_a_recurrent_run_killed_in_training_ends_with_the_same_bits(place: Path, textmill) -> None:
    recipe = (place / "recipe.toml").read_text().replace("head_dim = 16\n", "")
    (place / "recurrent.toml").write_text(recipe)
    whole = textmill(place, "run", "recurrent.toml", "--out", "whole", *SMALL, *RECURRENT)
    assert whole.returncode == 0, whole.stderr
    changes = whole.changes["train"]
    for moment in [("train", changes // 4, 0.02, signal.SIGKILL), ("train", changes // 5, 0, signal.SIGKILL)]:
        assert textmill(place, "run", "recurrent.toml", "--out", "broken", *SMALL, *RECURRENT, kill=moment).returncode == -9
    end = textmill(place, "run", "recurrent.toml", "--out", "broken", *SMALL, *RECURRENT)
    assert end.returncode == 0 and "Going on from step" in end.stdout, end.stderr
    expected, found = outputs(place / "whole"), outputs(place / "broken")
    assert any(name.endswith("carry.safetensors") for name in expected)
    assert [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)] == []
    # The finished model writes on beyond its context of 32, and is looked at like any other.
    written = textmill(place, "generate", "whole", "The class", "--max-tokens", "80", "--temperature", "1.5")
    assert written.returncode == 0 and "context" not in written.stderr, written.stderr
    shown = textmill(place, "inspect", "whole/model")
    assert "a recurrent model of" in shown.stdout and "without a limit to read" in shown.stdout, shown.stderr
    assert "LSTM" in textmill(place, "inspect", "whole/model", "--mermaid").stdout
    assert "textmill alone loads it" in end.stdout
