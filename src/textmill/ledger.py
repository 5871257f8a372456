"""The ledger of a run: what each stage cost in time, energy, money and CO₂, over all its attempts, the killed ones too.

`ledger.json` in the run folder holds what was used, brought up to date every few seconds by a thread, so that a killed
process loses no more than that. Prices are applied when a cost is asked for: a changed price changes no stage.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from .errors import RunError
from .files import read_json, write_json
from .machine.energy import Meter, Usage
from .progress import format_seconds
from .settings import Settings

FILE = "ledger.json"
FIRST_BEAT, LAST_BEAT = 0.25, 5.0  # seconds between two entries: doubling, so that a short life is recorded too
JOULES_PER_KWH = 3.6e6


class LedgerSettings(Settings):
    """What energy and the machine cost. Nothing here changes what is trained, or makes a stage be done again."""

    watts_per_core: float = pydantic.Field(10.0, ge=0, allow_inf_nan=False)
    """Watts assumed for each busy core where the processor's own counter can't be read. A desktop's core takes about 10 at
    full load, a server's or a laptop's 3 to 6; memory, fans and the power supply come on top."""

    price_per_kwh: float = pydantic.Field(0.15, ge=0, allow_inf_nan=False)
    """Price of a kilowatt-hour. The default is the world's average for households at the end of 2024 in US dollars
    (GlobalPetrolPrices.com); 0 where the machine's price holds the electricity."""

    price_per_hour: float = pydantic.Field(0.0, ge=0, allow_inf_nan=False)
    """Price of an hour of the machine, where it is rented."""

    currency: str = pydantic.Field("USD", pattern=r"^\S(.{0,6}\S)?$")
    """Currency of the prices, as it is to be printed."""

    co2_per_kwh: float = pydantic.Field(480.0, ge=0, allow_inf_nan=False)
    """Grams of CO2 equivalent emitted for a kilowatt-hour. The default is the world's average of 2023 (Ember, Global
    Electricity Review 2024); countries lie between 30 and 800."""


@dataclass
class Account:
    """What one stage used: in the attempts that its output is made of, and in those that were thrown away."""

    inputs: str = ""
    finished: bool = False
    kept: Usage = field(default_factory=Usage)
    thrown_away: Usage = field(default_factory=Usage)


class Ledger:
    """The accounts of a run folder's stages. Use it while holding the folder's lock."""

    def __init__(self, folder: Path, settings: LedgerSettings):
        self.path, self.settings = folder / FILE, settings
        try:
            saved = read_json(self.path) if self.path.is_file() else {}
            self.accounts = {stage: _account(entry) for stage, entry in saved.items()}
        except (TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{self.path} is not a ledger of this version of textmill; delete it: costs begin anew") from error

    @contextlib.contextmanager
    def attempt(self, stage: str, inputs: str, goes_on: bool | None = None) -> Iterator[None]:
        """Count the block as an attempt at `stage`, made from `inputs`.

        `goes_on` says whether it builds on what the attempts before it left; if not, they count as thrown away. None: it
        does if the last one was killed or stopped, and had the same inputs.
        """
        account = self.accounts.setdefault(stage, Account())
        if goes_on is None:
            goes_on = not account.finished and account.inputs == inputs
        if not goes_on:
            account.thrown_away, account.kept = account.thrown_away + account.kept, Usage()
        account.inputs, account.finished = inputs, False
        before, meter, done = account.kept, Meter(), threading.Event()

        def enter() -> None:
            account.kept = before + meter.read()
            with contextlib.suppress(OSError):  # a full disk ends the stage with a message of its own, if it does
                self._save()

        def beat() -> None:
            pause = FIRST_BEAT
            while not done.wait(pause):
                enter()
                pause = min(2 * pause, LAST_BEAT)

        enter()
        thread = threading.Thread(target=beat, name="ledger", daemon=True)
        thread.start()
        try:
            yield
            account.finished = True
        finally:
            done.set()
            thread.join()
            enter()

    def _save(self) -> None:
        write_json(self.path, {stage: dataclasses.asdict(account) for stage, account in self.accounts.items()})

    def priced(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The manifest with what each stage cost at the prices of now."""
        costs = {stage: {"cost": self.cost(stage)} for stage in self.accounts}
        stages = {stage: {**entry, **costs.get(stage, {})} for stage, entry in manifest["stages"].items()}
        return {**manifest, "stages": stages}

    def cost(self, stage: str) -> dict[str, Any]:
        """What a stage cost, as it stands in the manifest.

        `thrown_away` holds, apart from the rest, the same of the attempts that nothing is left of; None where there are none.
        """
        account = self.accounts[stage]
        thrown_away = price_usage(account.thrown_away, self.settings) if account.thrown_away.attempts else None
        return {**price_usage(account.kept, self.settings), "thrown_away": thrown_away}


def _account(saved: dict[str, Any]) -> Account:
    kept, thrown_away = (Usage(**{**saved[key], "notes": tuple(saved[key]["notes"])}) for key in ("kept", "thrown_away"))
    return Account(saved["inputs"], saved["finished"], kept, thrown_away)


def price_usage(usage: Usage, settings: LedgerSettings) -> dict[str, Any]:
    """Time, energy, money, CO₂, memory of what was used. `energy_source` is `rapl`, `nvml`, `estimate`, or several of them."""
    estimated = usage.cpu_seconds * settings.watts_per_core
    joules = sum(usage.joules.values()) + estimated
    kwh = joules / JOULES_PER_KWH
    assumptions, sources = list(usage.notes), list(usage.joules)
    if "rapl" not in usage.joules or usage.cpu_seconds:
        sources.append("estimate")
        assumptions.append(
            f"{settings.watts_per_core:g} W assumed for each busy core, {usage.cpu_seconds:.0f} s of CPU time in all processes"
        )
    return {
        "attempts": usage.attempts,
        "seconds": round(usage.seconds, 3),
        "joules": round(joules, 3),
        "energy_source": " + ".join(sources),
        "assumption": "; ".join(assumptions) or None,
        "money": round(kwh * settings.price_per_kwh + usage.seconds / 3600 * settings.price_per_hour, 9),
        "currency": settings.currency,
        "co2_grams": round(kwh * settings.co2_per_kwh, 6),
        "peak_bytes": usage.peak_bytes,
    }


def total_cost(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a run's finished stages cost together, thrown-away attempts included; computed from the manifest, never stored.

    Has the keys of one stage's cost but `assumption`; `thrown_away` says how much of it nothing is left of. A stage whose
    ledger was deleted counts with what the manifest still says, or not at all.
    """
    costs = [entry["cost"] for entry in manifest["stages"].values() if "cost" in entry]
    wasted = [cost["thrown_away"] for cost in costs if cost["thrown_away"]]
    return {**_sum([*costs, *wasted]), "thrown_away": _sum(wasted) if wasted else None}


def _sum(costs: list[dict[str, Any]]) -> dict[str, Any]:
    summed = {key: sum(cost[key] for cost in costs) for key in ("attempts", "seconds", "joules", "money", "co2_grams")}
    sources = dict.fromkeys(source for cost in costs for source in cost["energy_source"].split(" + "))
    return {**summed, "energy_source": " + ".join(sources), "currency": costs[0]["currency"] if costs else None}


def cost_line(total: dict[str, Any]) -> str:
    """One line for people: `In all 5:12 min, 1.7 Wh (estimate), less than 0.01 USD and 0.82 g of CO2.`"""
    seconds, energy, money, co2 = _words(total)
    line = f"In all {seconds}, {energy} ({total['energy_source']}), {money} and {co2}"
    if total["thrown_away"] and total["thrown_away"]["seconds"] >= 1:  # a refused start is no attempt worth a word
        seconds, energy, *_ = _words(total["thrown_away"])
        line += f"; of that {seconds} and {energy} in attempts that nothing is left of"
    return line + "."


def _words(cost: dict[str, Any]) -> tuple[str, str, str, str]:
    watt_hours, money, grams = cost["joules"] / 3600, cost["money"], cost["co2_grams"]
    return (
        format_seconds(cost["seconds"]),
        f"{watt_hours / 1000:.3g} kWh"
        if watt_hours >= 1000
        else f"{watt_hours:.2g} Wh"
        if watt_hours < 10
        else f"{watt_hours:.0f} Wh",
        f"less than 0.01 {cost['currency']}" if 0 < money < 0.01 else f"{money:,.2f} {cost['currency']}",
        f"{grams / 1000:.3g} kg of CO2"
        if grams >= 1000
        else f"{grams:.2g} g of CO2"
        if grams < 10
        else f"{grams:.0f} g of CO2",
    )
