"""The ledger: killed attempts keep their costs, thrown-away ones are told apart, and prices redo nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from textmill.errors import RecipeError, RunError
from textmill.ledger import Account, Ledger, LedgerSettings, cost_line, price_usage, total_cost
from textmill.machine.energy import Usage
from textmill.recipe import check_recipe

# An attempt that goes on for ever, using CPU: for a test to kill.
ENDLESS = """
import sys
from pathlib import Path
from textmill.ledger import Ledger, LedgerSettings
with Ledger(Path(sys.argv[1]), LedgerSettings()).attempt("train", sys.argv[2]):
    while True:
        pass
"""


def kept_seconds(folder: Path) -> float:
    file = folder / "ledger.json"
    return json.loads(file.read_text())["train"]["kept"]["seconds"] if file.is_file() else 0.0


def kill_after(folder: Path, inputs: str, seconds: float) -> None:
    """Run an attempt in a process of its own and kill it once it has recorded `seconds` more."""
    before = kept_seconds(folder)
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(folder), inputs])
    try:
        while kept_seconds(folder) < before + seconds:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


def test_killed_attempts_keep_their_costs_and_add_up(tmp_path: Path) -> None:
    kill_after(tmp_path, "a", 0.2)
    first = kept_seconds(tmp_path)
    kill_after(tmp_path, "a", 0.2)
    ledger = Ledger(tmp_path, LedgerSettings())
    with ledger.attempt("train", "a"):
        pass
    cost = ledger.cost("train")
    assert cost["attempts"] == 3 and cost["seconds"] >= first + 0.2 and cost["thrown_away"] is None
    if cost["energy_source"] == "estimate":
        assert cost["joules"] > 10 * 0.2 * 0.5  # the killed ones were busy on a core
        assert "10 W assumed for each busy core" in cost["assumption"]


def test_attempts_with_other_inputs_and_repeated_ones_are_thrown_away(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, LedgerSettings())
    for inputs in ("a", "b", "b"):
        with ledger.attempt("tokens", inputs):
            time.sleep(0.01)
    cost = Ledger(tmp_path, LedgerSettings()).cost("tokens")
    assert cost["attempts"] == 1 and cost["thrown_away"]["attempts"] == 2
    assert cost["seconds"] > 0 and cost["thrown_away"]["seconds"] > cost["seconds"] / 10


@pytest.mark.parametrize("goes_on, kept", [(True, 2), (False, 1)])
def test_the_stage_itself_may_know_what_it_builds_on(tmp_path: Path, goes_on: bool, kept: int) -> None:
    ledger = Ledger(tmp_path, LedgerSettings())
    with ledger.attempt("train", "5 minutes"):
        pass
    with ledger.attempt("train", "10 minutes", goes_on):
        pass
    assert ledger.cost("train")["attempts"] == kept


def test_an_attempt_that_fails_is_counted_and_its_error_goes_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, LedgerSettings())
    with pytest.raises(ZeroDivisionError), ledger.attempt("train", "a"):
        time.sleep(0.01)
        _ = 1 / 0
    assert not ledger.accounts["train"].finished and ledger.cost("train")["seconds"] >= 0.01


def test_prices() -> None:
    usage = Usage(attempts=1, seconds=7200, cpu_seconds=36_000)
    settings = LedgerSettings(watts_per_core=20, price_per_kwh=0.5, price_per_hour=3, currency="€", co2_per_kwh=100)
    cost = price_usage(usage, settings)
    assert cost["joules"] == 720_000  # 0.2 kWh
    assert cost["money"] == pytest.approx(0.2 * 0.5 + 2 * 3)
    assert cost["co2_grams"] == pytest.approx(20)
    assert (cost["energy_source"], cost["currency"]) == ("estimate", "€")
    assert "20 W assumed for each busy core, 36000 s of CPU time" in cost["assumption"]
    both = price_usage(usage + Usage(1, 10, 0, {"rapl": 50.0}, ("RAPL",)), settings)
    assert both["joules"] == 720_050 and both["energy_source"] == "rapl + estimate"


def test_the_whole_run_is_the_sum_of_its_stages(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, LedgerSettings(price_per_hour=1.0))
    ledger.accounts = {
        "corpus": Account("a", True, Usage(1, 60, 120)),
        "train": Account("b", True, Usage(2, 3600, 7200), Usage(3, 1800, 3600)),
    }
    manifest = ledger.priced({"version": 1, "stages": {"corpus": {"hash": "x"}, "train": {"hash": "y"}}})
    assert manifest["stages"]["corpus"]["hash"] == "x"
    total = total_cost(manifest)
    assert (total["attempts"], total["seconds"], total["joules"]) == (6, 5460, 109_200)
    assert total["thrown_away"]["seconds"] == 1800
    line = cost_line(total)
    assert line == (
        "In all 1:31:00 h, 30 Wh (estimate), 1.52 USD and 15 g of CO2; "
        "of that 30:00 min and 10 Wh in attempts that nothing is left of."
    )


def test_other_prices_change_the_cost_and_nothing_else(tmp_path: Path) -> None:
    account = Account("a", True, Usage(1, 3600, 3600))
    costs = []
    for price in (0.0, 2.0):
        ledger = Ledger(tmp_path, LedgerSettings(price_per_hour=price))
        ledger.accounts = {"train": account}
        costs.append(ledger.cost("train"))
    assert costs[1]["money"] - costs[0]["money"] == pytest.approx(2.0)
    assert {**costs[0], "money": 0} == {**costs[1], "money": 0}


@pytest.mark.parametrize("content", ["{", '{"train": {"kept": 3}}', '{"train": 3}', "[]"])
def test_a_damaged_ledger_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(RunError, match="ledger"):
        Ledger(tmp_path, LedgerSettings())


def test_bad_values_are_told_together() -> None:
    ledger = {"watts_per_core": -1, "price_per_kwh": float("inf"), "currency": "", "co2_per_kwh": "much", "pricee": 1}
    with pytest.raises(RecipeError) as error:
        check_recipe({"corpus": {"source": "a.txt"}, "train": {"steps": 1}, "ledger": ledger}, "recipe.toml")
    text = str(error.value)
    assert len(error.value.problems) == 5
    for part in ("ledger.watts_per_core", "ledger.price_per_kwh", "ledger.currency", "ledger.co2_per_kwh", "ledger.pricee"):
        assert part in text
