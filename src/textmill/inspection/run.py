"""A run folder's card: what is done, stale and to do, what it cost, where it stopped and how to go on."""

from pathlib import Path
from typing import Any

from ..ledger import cost_line
from ..progress import format_bytes, format_seconds
from ..recipe import Recipe, load_recipe
from ..report.commands import command, go_on
from ..report.facts import Facts, read_facts
from ..run import stage_states
from ..training.checkpoints import list_checkpoints
from .card import Card
from .model import score_rows, training_rows

PROGRAM = ["textmill"]


def run_card(path: str | Path) -> Card:
    """The card of a run folder. Raises RunError or RecipeError where its own files are damaged."""
    folder = Path(path)
    recipe = load_recipe(folder / "recipe.toml")
    states = stage_states(recipe, folder)  # which refuses a damaged manifest, before it is taken for facts
    facts = read_facts(folder)
    checkpoints = [(one.step, one.steps, one.folder) for one in list_checkpoints(folder / "checkpoints")]
    unfinished = [stage for stage, state in states.items() if state in ("to do", "stale")]
    values: dict[str, Any] = {
        "kind": "run",
        "path": str(folder),
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "stages": {stage: {"state": state, **facts.stages.get(stage, {})} for stage, state in states.items()},
        "checkpoints": [{"step": step, "of": steps, "path": str(where)} for step, steps, where in checkpoints],
        "cost": facts.total_cost,
        "scores": facts.evaluation,
    }
    return Card(
        f"{folder}: a run, {'finished' if not unfinished else 'next stage: ' + unfinished[0]}",
        values,
        {
            "Stages": [(stage, _stage_text(state, facts, stage)) for stage, state in states.items()],
            "Text": _text_rows(facts),
            "Training": _training_rows(facts, checkpoints),
            "Checkpoints": [
                (f"step {step:,}", f"of {steps:,}, {format_bytes(_size(where))}") for step, steps, where in checkpoints
            ],
            "Scores": score_rows(facts.evaluation or {}),
            "Cost": [("all stages", cost_line(facts.total_cost))] if facts.total_cost else [],
        },
        _next(folder, recipe, bool(unfinished)),
    )


def _stage_text(state: str, facts: Facts, stage: str) -> str:
    words = {"stale": "stale: its inputs have changed, so it will be done again"}.get(state, state)
    entry = facts.stages.get(stage)
    return f"{words}, in {format_seconds(entry['seconds'])}" if state == "done" and entry else words


def _text_rows(facts: Facts) -> list[tuple[str, str]]:
    rows = []
    if facts.corpus:
        kept = facts.corpus["kept"]
        dropped = sum(sum(rules.values()) for rules in facts.corpus["dropped"].values())
        for side in ("train", "validation"):
            rows.append((side, f"{kept[side]['documents']:,} documents, {format_bytes(kept[side]['bytes'])}"))
        rows.append(("dropped", f"{dropped:,} of {facts.corpus['read']:,} documents"))
    if facts.tokenizer:
        card = facts.tokenizer
        rows.append(
            ("tokenizer", f"{card['kind']}, {card['vocabulary_size']:,} tokens, {card['bytes_per_token']:.2f} bytes each")
        )
    return rows


def _training_rows(facts: Facts, checkpoints: list[tuple[int, int, Path]]) -> list[tuple[str, str]]:
    if facts.summary:
        return training_rows(facts.summary)
    if not facts.curve or not facts.curve.last_step:
        return []
    planned = f" of {facts.steps_planned:,}" if facts.steps_planned else ""
    saved = f"; the newest checkpoint is of step {checkpoints[-1][0]:,}" if checkpoints else "; no checkpoint is there yet"
    return [("stopped", f"at step {facts.curve.last_step:,}{planned}{saved}")]


def _next(folder: Path, recipe: Recipe, unfinished: bool) -> str:
    if unfinished:
        return f"Go on: {go_on(PROGRAM, folder)}"
    longer = go_on(PROGRAM, folder, recipe.train)
    return f"Its model: {command([*PROGRAM, 'inspect', folder / 'model'])}\nTwice as long in all: {longer}"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
