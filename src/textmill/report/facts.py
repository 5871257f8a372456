"""What a run folder holds, read for showing: finished, stopped or killed, in memory that doesn't grow with the run."""

import itertools
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpus.store import read_corpus, read_drops
from ..errors import RunError, TextmillError
from ..files import is_locked, read_json, read_sealed
from ..ledger import Ledger, LedgerSettings, total_cost
from ..score import BITS_PER_BYTE, BITS_PER_MASKED_TOKEN, BITS_PER_SPAN_TOKEN, FIGURES, Figure
from ..tokens.tokenizer import Tokenizer
from ..training.checkpoints import list_checkpoints
from .curve import Curve, read_curve

LIFE = ("corpus", "tokenizer", "tokens", "train", "model", "evaluate")
"""The stages that are shown. The report's own isn't among them: it can't know what it will have cost."""
DROPS_READ, DROPS_SHOWN = 100_000, 3  # records looked at for examples; examples of each rule
KEPT_READ, KEPT_SHOWN, KEPT_CHARACTERS = 90, 3, 420
TOKENS_CHARACTERS = 700  # of the text whose tokens are shown


@dataclass(frozen=True)
class Stretch:
    """Some characters of a text, and how many tokens they became: more than one where a character was taken apart."""

    text: str
    tokens: int


@dataclass(frozen=True)
class Facts:
    """All that the page shows. What isn't there yet is None, or empty."""

    name: str
    folder: Path
    running: bool
    stages: dict[str, dict[str, Any]]
    recipe: dict[str, Any]
    recipe_text: str
    versions: dict[str, str]
    corpus: dict[str, Any] | None
    drops: list[dict[str, Any]]
    kept: list[dict[str, str]]
    tokenizer: dict[str, Any] | None
    stretches: list[Stretch]
    curve: Curve | None
    steps_planned: int | None
    choices: dict[str, Any] | None
    evaluation: dict[str, Any] | None
    costs: dict[str, dict[str, Any]]
    total_cost: dict[str, Any] | None

    @property
    def summary(self) -> dict[str, Any] | None:
        """What the manifest says of a training that ended; None where a later one has gone beyond it."""
        summary = self.stages.get("train", {}).get("summary")
        return None if summary and self.curve and self.curve.last_step > summary["steps"] else summary

    @property
    def figure(self) -> Figure:
        """What the evaluation compares by."""
        return FIGURES[(self.evaluation or {}).get("figure", BITS_PER_BYTE.key)]

    @property
    def guesses(self) -> bool:
        """Whether the model guesses hidden words, instead of writing."""
        return self.fills_spans or (self.curve is not None and self.curve.figure == BITS_PER_MASKED_TOKEN)

    @property
    def fills_spans(self) -> bool:
        """Whether it guesses spans of words, and writes them."""
        return self.curve is not None and self.curve.figure == BITS_PER_SPAN_TOKEN

    @property
    def missing_stage(self) -> str | None:
        """The first stage that is still to be done; None where the life is whole."""
        if "train" in self.stages and self.summary is None:
            return "train"
        return next((stage for stage in LIFE if stage not in self.stages), None)


def read_facts(folder: str | Path) -> Facts:
    """Read a run folder. Raises RunError where it isn't one, or where its manifest isn't as it was written."""
    folder = Path(folder)
    if not (folder / "recipe.toml").is_file():
        what = "holds no recipe.toml, so it is not a run folder" if folder.is_dir() else "is not a folder"
        raise RunError(f"{folder} {what}; give a run folder, such as runs/wikipedia-sample")
    recipe_text = (folder / "recipe.toml").read_text(encoding="utf-8")
    try:
        recipe = tomllib.loads(recipe_text)
    except tomllib.TOMLDecodeError as error:
        raise RunError(f"{folder / 'recipe.toml'} is not valid TOML ({error}); run the recipe again") from error
    manifest = read_sealed(folder / "manifest.json") if (folder / "manifest.json").is_file() else {"stages": {}}
    stages = {stage: manifest["stages"][stage] for stage in LIFE if stage in manifest["stages"]}
    lineage, choices = _json(folder / "model" / "textmill.json") or {}, _json(folder / "choices.json")
    costs = _costs(folder, recipe, stages)
    whole = {"stages": {stage: {"cost": cost} for stage, cost in costs.items() if "joules" in cost}}
    return Facts(
        name=folder.resolve().name,
        folder=folder,
        running=bool({*LIFE} - {*stages}) and is_locked(folder),
        stages=stages,
        recipe=recipe,
        recipe_text=recipe_text,
        versions={"textmill": lineage.get("textmill", ""), "torch": (choices or {}).get("torch", "")},
        corpus=_json(folder / "corpus" / "card.json"),
        drops=_example_drops(folder / "corpus" / "dropped.jsonl.zst"),
        kept=_example_documents(folder / "corpus" / "train.jsonl.zst"),
        tokenizer=_json(folder / "tokenizer" / "card.json"),
        stretches=_stretches(folder),
        curve=read_curve(folder),
        steps_planned=_steps_planned(folder, stages),
        choices=choices,
        evaluation=_json(folder / "evaluation.json") if "evaluate" in stages else None,
        costs=costs,
        total_cost=total_cost(whole) if whole["stages"] else None,
    )


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _costs(folder: Path, recipe: dict[str, Any], stages: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each stage cost, those that were killed too; only its seconds where the ledger doesn't know it."""
    ledger = Ledger(folder, LedgerSettings(**recipe.get("ledger", {})))
    costs = {}
    for stage in LIFE:
        if stage in ledger.accounts:
            costs[stage] = {**ledger.cost(stage), "cpu_seconds": ledger.accounts[stage].kept.cpu_seconds}
        elif stage in stages:
            costs[stage] = {"seconds": stages[stage]["seconds"]}
    return costs


def _example_drops(path: Path) -> list[dict[str, Any]]:
    """The first few dropped documents of each rule."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    if path.is_file():
        for drop in itertools.islice(read_drops(path), DROPS_READ):
            of_rule = found[drop.step, drop.rule]
            if len(of_rule) < DROPS_SHOWN:
                of_rule.append(vars(drop))
    return [drop for drops in found.values() for drop in drops]


def _example_documents(path: Path) -> list[dict[str, str]]:
    """The beginnings of three of the first kept documents, the first one among them."""
    if not path.is_file():
        return []
    beginnings = [
        {"title": document.title or document.id, "text": _beginning(document.text, KEPT_CHARACTERS)}
        for document in itertools.islice(read_corpus(path), KEPT_READ)
    ]
    return beginnings[:: max(1, -(-len(beginnings) // KEPT_SHOWN))]


def _beginning(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters].rstrip() + " …"


def _stretches(folder: Path) -> list[Stretch]:
    """The beginning of the first held-out document, as the tokenizer takes it apart."""
    path = folder / "corpus" / "validation.jsonl.zst"
    if not (path.is_file() and (folder / "tokenizer" / "tokenizer.json").is_file()):
        return []
    text = next(read_corpus(path)).text[:TOKENS_CHARACTERS]
    [(_, spans)] = Tokenizer.load(folder / "tokenizer").encode_with_spans([text])
    counted: dict[tuple[int, int], int] = defaultdict(int)
    for span in spans:
        counted[span] += 1
    return [Stretch(text[begin:end], tokens) for (begin, end), tokens in counted.items()]


def _steps_planned(folder: Path, stages: dict[str, Any]) -> int | None:
    """Steps that the newest training was to have, as its checkpoints know it."""
    try:
        checkpoints = list_checkpoints(folder / "checkpoints")
    except TextmillError:
        checkpoints = []
    if checkpoints:
        return checkpoints[-1].steps
    return stages["train"]["summary"]["steps"] if "train" in stages else None
