"""What judging gave: each system's scores on each task, how far the systems are apart, and their answers; as a file, and as a
table for a terminal."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import __version__
from ...files import atomic_file, write_json
from ...score import Score
from ..bits_per_byte import plain_score
from ..bootstrap import bootstrap_ratio
from ..table import columns, interval
from .kinds import Measure
from .significance import PERMUTATIONS, permutation_p_value
from .task_file import Task

FORMAT = 1  # of report.json
SAMPLES = 10_000


@dataclass(frozen=True)
class System:
    """One system on one task: what it is called, what its scores rest on, and its marks, one mapping a question. `role`: a
    model, or a baseline, which knows less than a model is told."""

    name: str
    role: str
    signature: Mapping[str, Any]
    marks: Sequence[Mapping[str, Any]]

    def values(self, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
        """What is summed of each question, and what that is divided by: (N,) each."""
        above = np.array([float(marks[measure.mark]) for marks in self.marks])
        below = np.ones_like(above) if measure.per is None else np.array([float(marks[measure.per]) for marks in self.marks])
        return above, below


@dataclass(frozen=True)
class Result:
    """A task and the systems that were asked, models first."""

    task: Task
    systems: Sequence[System]

    def measures(self, system: System) -> list[Measure]:
        """The figures that a system has; what guesses blindly may lack some."""
        return [measure for measure in self.task.kind.measures if system.marks and measure.mark in system.marks[0]]

    def scores(self, system: System) -> list[Score]:
        """Of one system, each with its signature."""
        found = []
        for measure in self.measures(system):
            above, below = system.values(measure)
            low, high = bootstrap_ratio(above, below, SAMPLES)
            signature = {**signature_of(self.task), **system.signature, "higher_is_better": measure.higher_is_better}
            value = float(above.sum() / below.sum())
            found.append(Score(measure.name, value, low, high, len(above), measure.unit, signature))
        return found

    def differences(self) -> list[Score]:
        """The first model less each other one, on the same questions; the p-value stands in the signature."""
        models = [system for system in self.systems if system.role == "model"]
        found = []
        for other in models[1:]:
            for measure in self.measures(models[0]):
                (above, below), (others, _) = models[0].values(measure), other.values(measure)
                low, high = bootstrap_ratio(above - others, below, SAMPLES)
                signature = {
                    **signature_of(self.task),
                    "first": models[0].name,
                    "second": other.name,
                    "measure": measure.name,
                    "p_value": permutation_p_value(above - others),
                    "test": f"paired permutation, two-sided, {PERMUTATIONS:,} draws; interval: paired bootstrap",
                }
                name = f"{models[0].name} less {other.name}, {measure.name}"
                value = float((above - others).sum() / below.sum())
                found.append(Score(name, value, low, high, len(above), measure.unit, signature))
        return found


def signature_of(task: Task) -> dict[str, Any]:
    """What every score on a task rests on, whatever was asked."""
    return {
        **task.signature,
        "bootstrap_samples": SAMPLES,
        "textmill": __version__,
        "torch": torch.__version__,
    }


@dataclass(frozen=True)
class Report:
    """All results, and, where they are of folders and files, what was asked."""

    results: Sequence[Result]
    asked: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, without the answers."""
        return {
            "format": FORMAT,
            "asked": self.asked,
            "scores": [
                {"system": system.name, "role": system.role, **plain_score(score)}
                for result in self.results
                for system in result.systems
                for score in result.scores(system)
            ],
            "differences": [plain_score(score) for result in self.results for score in result.differences()],
        }

    def write(self, path: Path) -> Path:
        """Write the report, and beside it every answer, a line each. Returns where the answers are."""
        answers = path.with_suffix(".answers.jsonl")
        write_json(path, {**self.to_dict(), "answers": answers.name})
        with atomic_file(answers, "w") as stream:
            for result in self.results:
                for system in result.systems:
                    for question, marks in zip(result.task.questions, system.marks, strict=True):
                        line = {"task": result.task.name, "system": system.name, "line": question.line, **marks}
                        stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        return answers

    def render(self) -> str:
        """For a terminal: a table a task."""
        return "\n\n".join(_rendered(result) for result in self.results)


def _rendered(result: Result) -> str:
    rows = [("system", "", "value", "95 % interval", "questions")]
    for system in result.systems:
        for score in result.scores(system):
            rows.append((system.name, f"{score.name}", f"{score.value:.3f}", interval(score), str(score.count)))
    differences = result.differences()
    lines = [f"{result.task.name}: {result.task.settings.kind}", *columns(rows)]
    for score in differences:
        p_value = score.signature["p_value"]
        verdict = "" if math.isnan(score.low) or score.low <= 0 <= score.high else ", and the interval doesn't hold zero"
        lines.append(f"{score.name}: {score.value:+.3f} {interval(score)}, p = {p_value:.4f}{verdict}")
    return "\n".join(lines)
