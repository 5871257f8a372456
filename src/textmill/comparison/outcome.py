"""What one run of a comparison came to, read from its folder: what each document cost, and what the training did."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..evaluation.document_scores import read_document_scores
from ..files import read_json, read_sealed
from ..recipe import load_recipe
from ..report.curve import Curve, read_curve
from ..run import MANIFEST
from ..stages.families import FAMILIES
from .measures import Documents, Measure, measure_of


@dataclass(frozen=True)
class Outcome:
    """One finished run. `memory` in bytes, of the training's process at its peak; `energy` in joules."""

    name: str
    seed: int
    folder: Path
    parameters: int
    flops: float
    steps: int
    tokens: int
    seconds: float
    tokens_per_second: float
    memory: int
    energy: float
    energy_source: str
    assumption: str | None
    machine: str
    measure: Measure
    documents: Documents
    baselines: dict[str, Documents]
    baseline_seconds: dict[str, float]
    """What training and scoring a baseline took."""
    documents_sha256: str
    curve: Curve | None

    def to_dict(self, root: Path) -> dict[str, Any]:
        """What it took, as plain JSON values."""
        left_out = ("documents", "baselines", "baseline_seconds", "documents_sha256", "curve", "measure")
        values = {key: value for key, value in vars(self).items() if key not in left_out}
        return {**values, "folder": self.folder.relative_to(root).as_posix()}


def read_outcome(name: str, seed: int, folder: Path) -> Outcome:
    """Read a run folder. Raises RunError where it isn't finished, or not as this version of textmill writes it."""
    stages = read_sealed(folder / MANIFEST)["stages"]
    try:
        trained, cost, judged = stages["train"]["summary"], stages["train"]["cost"], stages["evaluate"]["summary"]
        recipe = load_recipe(folder / "recipe.toml")
        config = recipe.model.config(stages["tokenizer"]["summary"]["vocabulary_size"])
        estimated = "estimate" in cost["energy_source"]
        evaluation = read_json(folder / "evaluation.json")
        own, *others = evaluation["systems"]
        measure = measure_of(evaluation["figure"])
        scores = {
            name: {(score.source, score.id): measure.of(score) for score in documents}
            for name, documents in read_document_scores(folder).items()
        }
        return Outcome(
            name=name,
            seed=seed,
            folder=folder,
            parameters=trained["parameters"],
            flops=trained["tokens"] * FAMILIES[recipe.model.family].count(config, recipe.train).training_flops,
            steps=trained["steps"],
            tokens=trained["tokens"],
            seconds=trained["seconds"],
            tokens_per_second=trained["tokens_per_second"],
            memory=cost["peak_bytes"],
            energy=cost["joules"],
            energy_source=cost["energy_source"],
            assumption=f"{recipe.ledger.watts_per_core:g} W assumed for each busy core" if estimated else None,
            machine=trained["machine"],
            measure=measure,
            documents=scores[own["name"]],
            baselines={system["name"]: scores[system["name"]] for system in others},
            baseline_seconds={
                system["name"]: judged["scoring_seconds"][system["name"]] + judged["training_seconds"].get(system["name"], 0.0)
                for system in others
            },
            documents_sha256=own[evaluation["figure"]]["signature"]["documents_sha256"],
            curve=read_curve(folder),
        )
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder} isn't what this version of textmill writes ({error!r}); delete it, and run again") from error
