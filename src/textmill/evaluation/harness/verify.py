"""A report's scores made again: whether each holds, and where one doesn't, what has changed.

A score holds where the same questions, asked of the same model in the same way, give the same value within TOLERANCE; other
versions and other threads may shift the last digits of a likelihood.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import TaskError, TextmillError
from ...files import read_foreign_json
from .folders import Asked, Load, named, ngram_of
from .judge import judge
from .language_model import JudgedLanguageModel
from .results import FORMAT
from .task_file import Task, read_task

TOLERANCE = 1e-4  # of a value, relative above 1
PARTS = {  # of a signature that a score can't hold without, in words
    "sha256": "the questions have changed",
    "settings": "they are asked otherwise",
    "chat": "they are asked otherwise",
    "format": "the format of tasks has changed",
}
SYSTEM_PARTS = {
    "model_sha256": "the model has changed",
    "tokenizer": "the tokenizer has changed",
    "numbers": "the weights are kept in other numbers",
    "training_sha256": "the n-gram's text has changed",
}
VERSIONS = ("textmill", "torch")


@dataclass(frozen=True)
class Verdict:
    """A reported score beside what was found. `reasons` say why it doesn't hold, `notes` what is merely otherwise."""

    name: str
    reported: float
    found: float | None
    reasons: Sequence[str]
    notes: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """Whether the score is the same again."""
        return not self.reasons

    def __str__(self) -> str:
        if self.holds:
            return f"holds         {self.name}: {self.reported:.4f}"
        found = "" if self.found is None else f", found {self.found:.4f}"
        return f"doesn't hold  {self.name}: {self.reported:.4f}{found}; {'; '.join([*self.reasons, *self.notes])}"


def verify(path: Path, load: Load) -> list[Verdict]:
    """A verdict on each score of a report. Raises TaskError where the report can't be read."""
    scores, asked = _read(path)
    found, failed = _made_again(asked, load)
    return [_verdict(score, found, failed) for score in scores]


Key = tuple[str, str, str]  # task, system, score


def _read(path: Path) -> tuple[list[dict[str, Any]], Asked]:
    report = read_foreign_json(path, TaskError)
    try:
        if report["format"] != FORMAT:
            raise TaskError(f"{path} is a report of format {report['format']!r:.20}, and this version reads {FORMAT}")
        scores = report["scores"]
        for score in scores:
            if not isinstance(score["value"], int | float) or not isinstance(score["signature"]["system"], dict):
                raise TypeError
            _key(score)
        if report["asked"] is None:
            raise TaskError(f"{path}: its models are Python objects, which only the program that made it can ask again")
        return scores, Asked.of(report["asked"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TaskError(f"{path} is no report of `textmill judge --out`; give one that is") from error


def _key(score: Mapping[str, Any]) -> Key:
    return score["signature"]["task"], score["system"], score["name"]


def _made_again(asked: Asked, load: Load) -> tuple[dict[Key, dict[str, Any]], list[str]]:
    """All scores that can be made, and why others can't."""
    models, tasks, failed = dict[str, JudgedLanguageModel](), list[Task](), list[str]()
    for name, model in zip(named(asked.models), asked.models, strict=True):
        try:
            models[name] = JudgedLanguageModel(load(model, asked.weights))
        except TextmillError as error:
            failed.append(f"{model}: {error}")
    for file in asked.tasks:
        try:
            tasks.append(read_task(file))
        except TextmillError as error:
            failed.append(str(error))
    try:
        ngram = ngram_of(asked)
    except TextmillError as error:
        ngram = None
        failed.append(str(error))
    found: dict[Key, dict[str, Any]] = {}
    for task in tasks if models else []:
        try:
            again = judge(models, [task], asked.chat, ngram).to_dict()["scores"]
        except TextmillError as error:
            failed.append(str(error))
        else:
            found |= {_key(score): score for score in again}
    return found, failed


def _verdict(score: Mapping[str, Any], found: Mapping[Key, Mapping[str, Any]], failed: Sequence[str]) -> Verdict:
    task, system, name = _key(score)
    label, reported = f"{task}, {system}, {name}", score["value"]
    again = found.get((task, system, name))
    if again is None:
        return Verdict(label, reported, None, ["it can't be made again", *failed])
    value = math.nan if again["value"] is None else again["value"]
    reasons = list(dict.fromkeys(_changes(score["signature"], again["signature"])))
    close = math.isclose(value, reported, rel_tol=TOLERANCE, abs_tol=TOLERANCE) and score["count"] == again["count"]
    before, now = score["signature"], again["signature"]
    notes = [f"{each} was {before.get(each)}, is {now[each]}" for each in VERSIONS if before.get(each) != now[each]]
    if not close:
        reasons.append("the value is another")
    return Verdict(label, reported, value, reasons, notes)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for part, words in PARTS.items():
        if before.get(part) != now.get(part):
            yield words
    for part, words in SYSTEM_PARTS.items():
        if before["system"].get(part) != now["system"].get(part):
            yield words
