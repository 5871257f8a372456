"""The ledger of the real command: killed, gone on with, priced anew, restarted."""

import json
import signal
import time
from pathlib import Path
from typing import Any

RECIPE = """
[corpus]
source = "text.jsonl"
validation_fraction = 0.2

[tokenizer]
vocabulary_size = 400

[model]
preset = "0.5m"
layers = 1
width = 32
head_dim = 16
context_length = 32

[train]
steps = 150
batch_size = 4
checkpoint_steps = 10
validations = 1
threads = 1
dtype = "float32"
attention = "fused"
micro_batch = 4
compile = "off"

[evaluate]
maximum_bytes = 5000
bootstrap_samples = 100

[ledger]
price_per_hour = 2.0
currency = "CHF"
"""
COMMAND = ["run", "recipe.toml", "--out", "run"]


def costs(run: Path) -> dict[str, Any]:
    return {name: entry["cost"] for name, entry in json.loads((run / "manifest.json").read_text())["stages"].items()}


def test_what_a_killed_run_cost_is_not_forgotten_and_prices_redo_nothing(tmp_path: Path, texts: list[str], starter) -> None:
    lines = [json.dumps({"id": str(n), "text": text[:2000]}) for n, text in enumerate(texts[:60]) if len(text) > 100]
    (tmp_path / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    run = tmp_path / "run"
    process = starter.leave(tmp_path, *COMMAND)
    while not list((run / "checkpoints").glob("step-*")):
        time.sleep(0.01)
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    killed = json.loads((run / "ledger.json").read_text())["train"]["kept"]
    assert killed["seconds"] > 0 and killed["attempts"] == 1

    def textmill(*words: str) -> str:
        ended = starter(tmp_path, *COMMAND, *words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    closing = textmill()
    first = costs(run)
    assert set(first) == {"corpus", "tokenizer", "tokens", "train", "model", "evaluate", "report"}
    assert first["train"]["attempts"] == 2 and first["train"]["seconds"] > killed["seconds"]
    assert first["train"]["thrown_away"] is None and first["train"]["joules"] > 0
    assert "CHF" in closing and "g of CO2" in closing and "nothing is left of" not in closing

    dearer = textmill("--set", "ledger.price_per_hour=200", "--set", "ledger.currency=EUR")
    assert dearer.count("inputs unchanged") == 6 and "EUR" in dearer
    assert costs(run)["train"]["money"] > 50 * first["train"]["money"]
    assert costs(run)["train"]["joules"] == first["train"]["joules"]

    textmill("--restart", "--until", "train")
    assert costs(run)["train"]["attempts"] == 1 and costs(run)["train"]["thrown_away"]["attempts"] == 2
    assert costs(run)["train"]["thrown_away"]["seconds"] == first["train"]["seconds"]
