"""The run folder: which stages of a model's life are done, which are to do, and what each took.

    runs/NAME/  recipe.toml  manifest.json  corpus/  tokenizer/  tokens/
                choices.json  checkpoints/  metrics.jsonl  model/  evaluation.json  scores.jsonl
                ledger.json  report.html

A stage whose inputs haven't changed isn't run again. The manifest is written after a stage's output, so that a stage
that was killed is simply done again, or, in training, gone on with.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RunError, nearest
from .files import fingerprint, folder_lock, read_json, read_sealed, remove_partial, write_sealed, write_text
from .interruption import Stopped, stoppable
from .ledger import Ledger
from .progress import format_seconds
from .recipe import Recipe
from .stages.corpus import corpus_identity, make_corpus
from .stages.evaluate import make_evaluation
from .stages.model import make_model, other_exports
from .stages.report import make_report, report_inputs
from .stages.tokens import make_tokenizer, make_tokens, special_tokens
from .stages.train import goes_on_training, make_checkpoints, refuse_unfit_training, trained_long_enough
from .stages.workplace import DamagedOutput, Workplace
from .training.loop import forget

MANIFEST, MANIFEST_VERSION = "manifest.json", 2


@dataclass(frozen=True)
class Stage:
    """One stage: the sections of the recipe it reads, the stages it builds on, what it writes, and how.

    `make` returns a summary for the manifest whose `hash` stands for everything written.
    """

    name: str
    sections: tuple[str, ...]
    needs: tuple[str, ...]
    writes: tuple[str, ...]
    make: Callable[[Workplace], dict[str, Any]]
    extra_inputs: Callable[[Workplace], Any] = lambda place: None
    """What else the stage depends on: the source files."""
    kept_because: Callable[[Workplace], str | None] = lambda place: None
    """Why an output made from other inputs will do all the same."""
    goes_on: Callable[[Workplace], bool | None] = lambda place: None
    """Whether it builds on what attempts before left; None: if the last one was stopped, and had the same inputs."""


CORPUS_FILES = ("corpus/card.json", "corpus/train.jsonl.zst", "corpus/validation.jsonl.zst", "corpus/dropped.jsonl.zst")
MODEL_FILES = ("model/model.safetensors", "model/config.json", "model/tokenizer.json")
STAGES = (
    Stage("corpus", ("corpus",), (), CORPUS_FILES, make_corpus, corpus_identity),
    Stage("tokenizer", ("tokenizer",), ("corpus",), ("tokenizer/tokenizer.json",), make_tokenizer, special_tokens),
    Stage("tokens", (), ("corpus", "tokenizer"), ("tokens/manifest.json",), make_tokens),
    Stage(
        "train", ("model", "train"), ("tokens",), ("checkpoints", "choices.json"), make_checkpoints,
        kept_because=trained_long_enough, goes_on=goes_on_training,
    ),
    Stage("model", (), ("train", "tokenizer"), MODEL_FILES, make_model, other_exports),
    Stage("evaluate", ("evaluate",), ("model", "corpus"), ("evaluation.json", "scores.jsonl"), make_evaluation),
    Stage("report", tuple(Recipe.model_fields), (), ("report.html",), make_report, report_inputs),
)  # fmt: skip


def run_recipe(recipe: Recipe, folder: str | Path, until: str = STAGES[-1].name, restart: bool = False) -> dict[str, Any]:
    """Do every stage not yet done, up to `until`. Returns the manifest.

    `restart` throws away what was trained before. Raises RunError where the folder is in use or can't be written.
    """
    names = [stage.name for stage in STAGES]
    if until not in names:
        raise RunError(f"there is no stage {until!r}{nearest(until, names)}; write one of {', '.join(names)}")
    folder = Path(folder)
    with stoppable(), folder_lock(folder):
        remove_partial(folder)
        manifest = _read_manifest(folder)
        if restart:
            _forget_training(folder, manifest)
        place = Workplace(recipe, folder, manifest)
        ledger = Ledger(folder, recipe.ledger)
        refuse_unfit_training(place)
        write_text(folder / "recipe.toml", recipe.to_toml())
        _run_stages(STAGES[: names.index(until) + 1], place, ledger)
        priced = ledger.priced(manifest)
        if priced != manifest:
            _write_manifest(folder, priced)
        return priced


def _run_stages(stages: tuple[Stage, ...], place: Workplace, ledger: Ledger) -> None:
    """Run them in their order. A stage whose output turns out to be damaged is done again, once."""
    mended: set[str] = set()
    position = 0
    while position < len(stages):
        try:
            _run_stage(stages[position], place, ledger)
            position += 1
        except DamagedOutput as damage:
            if damage.stage in mended:
                raise
            mended.add(damage.stage)
            print("\n".join([*damage.problems, f"{damage.stage} is done again."]))
            del place.manifest["stages"][damage.stage]
            _write_manifest(place.folder, place.manifest)
            position = [stage.name for stage in stages].index(damage.stage)
        except Stopped:
            print(f"Stopped in `{stages[position].name}`. The same command goes on; what was finished before is kept.")
            raise


def _run_stage(stage: Stage, place: Workplace, ledger: Ledger) -> None:
    """Run one stage, unless its output is there and was made from the same inputs."""
    inputs = _inputs(stage, place)
    entry = place.manifest["stages"].get(stage.name)
    there = entry is not None and all((place.folder / path).exists() for path in stage.writes)
    if there and entry["inputs"] == inputs:
        print(f"{stage.name}: done before ({format_seconds(entry['seconds'])}), inputs unchanged")
        return
    reason = stage.kept_because(place) if there else None
    if reason:
        print(f"{stage.name}: {reason}")
        return
    goes_on = stage.goes_on(place)
    print(f"{stage.name}: " + ("goes on" if goes_on else "inputs changed, done again" if there else "to do"))
    sys.audit("textmill.stage", stage.name)  # for whoever watches a process from inside
    started = time.perf_counter()
    with ledger.attempt(stage.name, inputs, goes_on):
        summary = stage.make(place)
    place.manifest["stages"][stage.name] = {
        "inputs": inputs,
        "hash": summary.pop("hash"),
        "seconds": round(time.perf_counter() - started, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cost": ledger.cost(stage.name),
        "summary": summary,
    }
    _write_manifest(place.folder, place.manifest)


def stage_states(recipe: Recipe, folder: Path) -> dict[str, str]:
    """Each stage's state, by its name: `done`; `to do`; `stale`, where `run_recipe` would do it again; or `done, its source
    isn't here`. Makes nothing."""
    place = Workplace(recipe, folder, _read_manifest(folder))
    known = folder / "sources.json"
    source_is_here = known.is_file() and all(Path(path).exists() for path in read_json(known))
    states: dict[str, str] = {}
    for stage in STAGES:
        entry = place.manifest["stages"].get(stage.name)
        if entry is None or not all((folder / path).exists() for path in stage.writes):
            states[stage.name] = "to do"
        elif any(states[name] in ("stale", "to do") for name in stage.needs):
            states[stage.name] = "stale"
        elif "corpus" in stage.sections and not source_is_here:
            states[stage.name] = "done, its source isn't here"
        else:
            fresh = entry["inputs"] == _inputs(stage, place) or stage.kept_because(place)
            states[stage.name] = "done" if fresh else "stale"
    return states


def _inputs(stage: Stage, place: Workplace) -> str:
    """What a stage's output is made from, in one hash."""
    return fingerprint(
        {
            "sections": {name: getattr(place.recipe, name).model_dump(mode="json") for name in stage.sections},
            "stages": {name: place.manifest["stages"][name]["hash"] for name in stage.needs},
            "extra": stage.extra_inputs(place),
        }
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    """What is done. Raises RunError where the manifest is of another version, or not as it was written."""
    path = folder / MANIFEST
    if not path.exists():
        return {"version": MANIFEST_VERSION, "stages": {}}
    anew = f"delete it, and run again: each stage is done anew, and training goes on from its newest checkpoint in {folder}"
    try:
        found = read_json(path)
        if isinstance(found, dict) and found.get("version", MANIFEST_VERSION) != MANIFEST_VERSION:
            raise RunError(f"{path} is of version {found['version']!r}, this textmill writes version {MANIFEST_VERSION}")
        manifest = read_sealed(path)
    except RunError as error:
        raise RunError(f"{str(error).partition('; delete it')[0]}; {anew}") from error
    return {key: value for key, value in manifest.items() if key != "fingerprint"}


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    write_sealed(folder / MANIFEST, manifest)


def _forget_training(folder: Path, manifest: dict[str, Any]) -> None:
    """Throw away what was trained. The manifest goes first: a kill on the way must not leave it saying `done`."""
    manifest["stages"].pop("train", None)
    _write_manifest(folder, manifest)
    forget(folder)
