"""Search over settings by successive halving (Jamieson & Talwalkar 2016): many trials learn for a short time, the better third
of them for three times as long, and so on; the best one learns whole.

Trials are chosen among by validation alone. One that goes up begins anew, since its learning rate had already fallen to zero
within its shorter length. `search.json` says what was tried, what came of it and what it cost; a stopped search goes on.
"""

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ..errors import RunError, TaskError, TrainingError
from ..files import fingerprint, read_json, write_json
from ..ledger import Ledger, LedgerSettings
from ..progress import format_seconds
from ..recipe import overridden, settings_of
from ..score import FIGURES
from ..training.metrics import FILE as METRICS_FILE
from .examples import Split

FILE = "search.json"
THIRD = 3  # of the trials, the better one of so many goes on, for so many times as long
WIDE = 10.0  # a range that reaches over so much is drawn from by its logarithm


@dataclass(frozen=True)
class Axis:
    """A setting that is searched over: `section.key`, and the values to be tried, as texts, or bounds to draw between."""

    key: str
    choices: tuple[str, ...] = ()
    bounds: tuple[float, float] = (0.0, 0.0)
    whole: bool = False

    def drawn(self, chance: Random) -> str:
        """A value, written as it is used."""
        if self.choices:
            return chance.choice(self.choices)
        low, high = self.bounds
        if low > 0 and high / low >= WIDE:
            value = math.exp(chance.uniform(math.log(low), math.log(high)))
        else:
            value = chance.uniform(low, high)
        return str(round(value)) if self.whole else f"{value:.3g}"


def read_axis(text: str) -> Axis:
    """Of `learn.learning_rate=1e-5..1e-3` or `learn.dropout=0,0.1,0.3`. Raises TaskError for what is neither."""
    key, _, values = text.partition("=")
    advice = "write section.key=LOW..HIGH or section.key=A,B,C, such as learn.learning_rate=1e-5..1e-3"
    if not re.fullmatch(r"\w+\.\w+", key.strip()) or not values.strip():
        raise TaskError(f"--search {text}: {advice}")
    low, dots, high = values.partition("..")
    if dots:
        try:
            bounds = (float(low), float(high))
        except ValueError:
            raise TaskError(f"--search {text}: {advice}") from None
        if not bounds[0] < bounds[1]:
            raise TaskError(f"--search {text}: the lower bound comes first")
        return Axis(key.strip(), bounds=bounds, whole=low.strip().isdigit() and high.strip().isdigit())
    choices = tuple(value.strip() for value in values.split(",") if value.strip())
    if len(choices) < 2:
        raise TaskError(f"--search {text}: there is nothing to choose from; {advice}")
    return Axis(key.strip(), choices)


def trials_of(axes: Sequence[Axis], count: int, seed: int) -> list[dict[str, str]]:
    """So many different settings, or all where there are fewer, as a function of the seed."""
    if twice := sorted({axis.key for axis in axes if sum(other.key == axis.key for other in axes) > 1}):
        raise TaskError(*(f"--search {key} is given twice" for key in twice))
    chance, found = Random(seed), dict[str, dict[str, str]]()
    for _ in range(50 * count):
        if len(found) < count:
            trial = {axis.key: axis.drawn(chance) for axis in axes}
            found.setdefault(json.dumps(trial), trial)
    return list(found.values())


@dataclass(frozen=True)
class Result:
    """What came of a trial: its number, settings and epochs, the best `value` of the `figure` on held-out texts (lower is
    better; None where training couldn't go on), and its cost."""

    rung: int
    trial: int
    settings: dict[str, str]
    epochs: float
    figure: str
    value: float | None
    seconds: float
    joules: float
    energy_source: str

    @property
    def order(self) -> float:
        """By which trials are put, the best first."""
        return math.inf if self.value is None else self.value


def search(
    task: Any, base: str | Path | None, split: Split[Any], axes: Sequence[Axis], count: int, out: Path, restart: bool = False
) -> Any:
    """The task with the best settings that were found, to learn whole. Prints and writes what was tried.

    Raises TaskError for settings that can't be searched over, RunError where the folder holds another search."""
    recipe, learn = task.recipe, task.recipe.learn
    if any(axis.key in ("learn.epochs", "learn.seed") for axis in axes):
        raise TaskError("--search learn.epochs or learn.seed: epochs are what is halved, and seeds aren't chosen among")
    trials = trials_of(axes, count, learn.seed)
    if len(trials) < 2:
        raise TaskError(f"--trials {count}: two or more are needed to choose among")
    tasks = {number: _with(task, trial) for number, trial in enumerate(trials, start=1)}
    usual = learn.usual(base is not None, recipe.model.family)
    whole = learn.epochs_of(usual, math.ceil(len(split.training) / learn.batch_size))
    rungs = max(1, math.floor(math.log(len(trials), THIRD) + 1e-9))
    identity = {"recipe": recipe.model_dump(mode="json"), "base": str(base), "data": split.hash, "trials": trials}
    results = _begun(out, fingerprint(identity), restart)
    ledger = Ledger(out, LedgerSettings())
    kept = list(tasks)
    for rung in range(rungs):
        epochs = whole * float(THIRD) ** (rung - rungs)
        for number in kept:
            name = f"rung-{rung + 1}-trial-{number}"
            if name in results:
                continue
            print(f"Trial {number} of {len(trials)}, {epochs:.3g} epochs: {_told(trials[number - 1])}")
            folder = out / "trials" / name
            with ledger.attempt(name, fingerprint(identity)):
                try:
                    _with(tasks[number], {"learn.epochs": repr(epochs)}).learn(base, split, folder, restart, judging=False)
                    figure, value = best_validation(folder / METRICS_FILE)
                except TrainingError as error:
                    print(error)
                    figure, value = "", None
            cost = ledger.cost(name)
            results[name] = Result(
                rung + 1, number, trials[number - 1], epochs, figure, value,
                cost["seconds"], cost["joules"], cost["energy_source"],
            )  # fmt: skip
            _write(out, fingerprint(identity), results)
            shutil.rmtree(folder)
        kept = sorted(kept, key=lambda number: results[f"rung-{rung + 1}-trial-{number}"].order)
        kept = kept[: max(1, len(kept) // THIRD)]
    print(table(list(results.values()), kept[0]))
    return tasks[kept[0]]


def best_validation(metrics: Path) -> tuple[str, float | None]:
    """The figure's key and the lowest value that a training noted on its held-out texts."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    found = [(line[key], key) for line in lines if line["kind"] == "validation" for key in FIGURES if key in line]
    value, key = min((math.inf if value is None else value, key) for value, key in found)
    return key, value if math.isfinite(value) else None


def table(results: Sequence[Result], chosen: int) -> str:
    """What was tried and what it cost, for a terminal."""
    name = next((FIGURES[each.figure].name for each in results if each.figure), "nothing")
    lines = [f"What was tried: epochs, {name} on held-out texts, cost"]
    for each in sorted(results, key=lambda each: (each.rung, each.order)):
        cost = f"{format_seconds(each.seconds)}, {each.joules:.0f} J ({each.energy_source})"
        value = "   none" if each.value is None else f"{each.value:7.4f}"
        lines.append(f"  {each.epochs:6.3g}  {value}  {cost}  {each.trial}: {_told(each.settings)}")
    seconds, joules = sum(each.seconds for each in results), sum(each.joules for each in results)
    best = next(each for each in results if each.trial == chosen)
    lines.append(f"  in all {format_seconds(seconds)}, {joules:.0f} J; the best, which learns whole: {_told(best.settings)}")
    return "\n".join(lines)


def _told(settings: dict[str, str]) -> str:
    return ", ".join(f"{key.removeprefix('learn.')} {value}" for key, value in settings.items())


def _with(task: Any, settings: dict[str, str]) -> Any:
    """The task with some settings changed. Raises RecipeError where it has no such ones."""
    recipe = task.recipe
    changed = settings_of(type(recipe), overridden(recipe, [f"{key}={value}" for key, value in settings.items()]), "--search")
    return type(task)(changed, task.reading)


def _begun(out: Path, identity: str, restart: bool) -> dict[str, Result]:
    """What a search in this folder has found before. Raises RunError where it was another one."""
    if restart:
        shutil.rmtree(out / "trials", ignore_errors=True)
        (out / FILE).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / FILE).is_file():
        _write(out, identity, {})
        return {}
    saved = read_json(out / FILE)
    if saved["identity"] != identity:
        raise RunError(f"{out} holds a search over other settings or data; give another --out, or throw it away with --restart")
    return {name: Result(**each) for name, each in saved["trials"].items()}


def _write(out: Path, identity: str, results: dict[str, Result]) -> None:
    found = {name: dataclasses.asdict(each) for name, each in results.items()}
    write_json(out / FILE, {"identity": identity, "trials": found})
