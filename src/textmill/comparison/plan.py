"""Which trainings a comparison consists of: recipes times seeds, each under the same limit; refused where that isn't fair.

runs/compare-A-B/  plan.json  A-seed-0/  A-seed-1/  B-seed-0/  B-seed-1/
                   comparison.json  comparison.md  comparison.svg
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError, RunError
from ..files import read_sealed, write_sealed
from ..progress import format_count
from ..recipe import Recipe, check_recipe, load_recipe
from ..stages.families import FAMILIES
from ..training.settings import seconds_of

FILE = "plan.json"
NAME_CHARACTERS = 60  # of the folder that a comparison is kept in, at most
FREE = {"evaluate.prompts"}  # what may differ though its section may not: nothing is scored with it


@dataclass(frozen=True)
class Limit:
    """What each training may use: wall `time`, floating-point operations or steps; none of them where its recipe says it."""

    time: str | None = None
    flops: float | None = None
    steps: int | None = None

    def __str__(self) -> str:
        if self.time is not None:
            return f"{self.time} of wall time"
        if self.flops is not None:
            return f"{format_count(self.flops)}FLOP"
        return f"{self.steps:,} steps" if self.steps is not None else "each recipe's own limits"

    def set(self) -> dict[str, Any]:
        """The limits that are set, by their names."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def applied(self, recipe: Recipe, vocabulary_size: int) -> Recipe:
        """The recipe under this limit. Operations become tokens, for the vocabulary that the tokenizer turned out to have.

        Raises RecipeError where that isn't enough for one step, or no limit at all.
        """
        if not self.set():
            return recipe
        tokens = None
        if self.flops is not None:
            config, rows = recipe.model.config(vocabulary_size), recipe.train.batch_size * recipe.model.context_length
            cost = FAMILIES[recipe.model.family].count(config, recipe.train)
            tokens = int(self.flops / cost.training_flops)
            if tokens < rows:
                raise RecipeError(
                    f"--flops {self.flops:g} is not enough for one step of {recipe.model.architecture}, which takes "
                    f"{rows * cost.training_flops:.2g}; give more"
                )
        train = {**recipe.train.model_dump(mode="json"), "time": self.time, "steps": self.steps, "tokens": tokens}
        option = " ".join(f"--{name} {value}" for name, value in self.set().items())
        return check_recipe({**recipe.model_dump(mode="json"), "train": train}, option)


@dataclass(frozen=True)
class PlannedRun:
    """One training: a recipe (without the limit), a seed, and the run folder."""

    name: str
    seed: int
    recipe: Recipe
    folder: Path

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """A comparison: its folder, its recipes by their names, and what each training may use."""

    folder: Path
    recipes: dict[str, Recipe]
    seeds: int
    limit: Limit

    def runs(self) -> list[PlannedRun]:
        """Seed by seed, so that what changes on the machine while hours pass meets every recipe alike."""
        return [
            PlannedRun(name, seed, _with_seed(recipe, seed), self.folder / f"{name}-seed-{seed}")
            for seed in range(self.seeds)
            for name, recipe in self.recipes.items()
        ]

    def seconds_left(self, runs: int) -> float | None:
        """What so many of the trainings may take together; None where the limit isn't time."""
        return runs * seconds_of(self.limit.time) if self.limit.time is not None else None

    def remember(self) -> None:
        """Write down what is compared. Raises RunError where the folder holds the runs of other recipes or limits."""
        limit, recipes = self.limit.set(), {name: _plain(recipe) for name, recipe in self.recipes.items()}
        if (self.folder / FILE).is_file():
            known = read_sealed(self.folder / FILE)
            if problems := [*_differing_limits(known["limit"], limit), *_differing_recipes(known["recipes"], recipes)]:
                raise RunError(f"{self.folder} holds another comparison: {'; '.join(problems)}; give another folder with --out")
            recipes = {**known["recipes"], **recipes}
        write_sealed(self.folder / FILE, {"limit": limit, "recipes": recipes})


def plan_comparison(
    paths: Sequence[Path],
    seeds: int = 3,
    limit: Limit = Limit(),
    overrides: Sequence[str] = (),
    folder: Path | None = None,
) -> Plan:
    """Read the recipes, and refuse what can't be compared, before anything is trained.

    Raises RecipeError with all problems: of each recipe, of the limit, and where the recipes differ in what they are judged by.
    """
    if len(limit.set()) > 1:
        given = ", ".join(f"--{name}" for name in limit.set())
        raise RecipeError(f"{given} are given together; what is to be equal is one of them")
    recipes, problems = dict[str, Recipe](), list[str]()
    for path in paths:
        try:
            recipes[path.stem] = _under(limit, load_recipe(path, overrides))
        except RecipeError as error:
            problems.extend(error.problems)
    problems += [
        f"{number} recipes are called {name}; the name is what the table says, so rename {'one' if number == 2 else 'them'}"
        for name, number in Counter(path.stem for path in paths).items()
        if number > 1
    ]
    if problems := [*dict.fromkeys(problems), *_unlike(recipes)]:
        raise RecipeError(*problems)
    name = "compare-" + "-".join(recipes)
    return Plan(folder or Path("runs") / name[:NAME_CHARACTERS], recipes, seeds, limit)


def _under(limit: Limit, recipe: Recipe) -> Recipe:
    """The recipe as it is, after a look whether the limit makes sense for it."""
    limit.applied(recipe, recipe.tokenizer.vocabulary_size)
    return recipe


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})


def _unlike(recipes: dict[str, Recipe]) -> Iterator[str]:
    """Where recipes would be judged by other documents, or in another way, than the first one."""
    first = next(iter(recipes), "")
    for other in recipes:
        for section in ("corpus", "evaluate"):
            ours, theirs = (getattr(recipes[name], section).model_dump(mode="json") for name in (first, other))
            for key in ours:
                if ours[key] != theirs[key] and f"{section}.{key}" not in FREE:
                    yield (
                        f"{section}.{key} is {ours[key]!r} in {first} and {theirs[key]!r} in {other}; to be compared they must "
                        f"learn from the same text and be judged by the same: --set {section}.{key}=VALUE sets it in all"
                    )


def _plain(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude={"ledger"})


def _differing_limits(known: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    if known != wanted:
        yield f"it was made with {Limit(**known)}, not {Limit(**wanted)}"


def _differing_recipes(known: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    for name in known.keys() & wanted.keys():
        for section, values in wanted[name].items():
            for key, value in values.items():
                if f"{section}.{key}" not in FREE and (before := known[name][section].get(key)) != value:
                    yield f"in {name}, {section}.{key} was {before!r} and is {value!r}"
