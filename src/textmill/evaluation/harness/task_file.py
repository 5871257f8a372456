"""A task as a file: .jsonl, a question a line, behind a first line that says what kind they are and how they are asked.

What is wrong is told with its line, all of it together. Without a first line the questions' own fields tell the kind, and the
rest is as by default.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from ...errors import TaskError, nearest
from ...files import sha256_of_file
from ...settings import Settings
from .kinds import KINDS, Kind
from .templates import filled_in, placeholders

FORMAT = 1  # of these files, in every signature
SHOWN_PROBLEMS = 20


class TaskSettings(Settings):
    """The first line of a task's file."""

    kind: Literal["multiple choice", "rolling", "minimal pairs", "generate"]
    """What is asked: which of some choices is likeliest, how likely a text is, whether the good one of two texts is likelier,
    or what is written behind a prompt."""

    task: str = ""
    """What the table calls it; default: the file's name."""

    prompt: str = ""
    """What is read before the answer; `{question}` stands for the field of that name. Default: `{question}` or, of generate,
    `{prompt}`."""

    answer: str = " {answer}"
    """How an answer, or a choice, stands behind the prompt. Chinese wants no space: `{answer}`."""

    beginning: str = ""
    """What is said before everything; in a chat it is the system's message."""

    shots: int = pydantic.Field(0, ge=0)
    """Questions with their answers that stand before each question, drawn anew for each."""

    examples: str = ""
    """A .jsonl file, beside this one, that they are drawn from; default: the other questions of this file, and never the
    question itself."""

    seed: int = pydantic.Field(0, ge=0)
    """Of the draw."""

    separator: str = "\n\n"
    """What stands between them."""

    until: tuple[str, ...] = ("\n",)
    """Texts at which an answer that is written ends."""

    max_tokens: int = pydantic.Field(64, ge=1)
    """What an answer that is written may have at most."""

    match: Literal["exact", "words"] = "exact"
    """When a written answer is right: it is the one wanted but for blanks at both ends; or its words are, in lower case,
    without punctuation and the articles a, an, the."""


@dataclass(frozen=True)
class Question:
    """A line of a task's file: its fields, and where it stands, counted from 1."""

    fields: Mapping[str, Any]
    line: int


@dataclass(frozen=True)
class Task:
    """A task, read and checked. `hashes`: the SHA-256 of its files."""

    path: Path
    name: str
    settings: TaskSettings
    questions: Sequence[Question]
    examples: Sequence[Question]
    hashes: Mapping[str, str]

    @property
    def kind(self) -> Kind:
        """How its questions are asked and its answers marked."""
        return KINDS[self.settings.kind]

    @property
    def signature(self) -> dict[str, Any]:
        """What its scores rest on."""
        kept = self.settings.model_dump(mode="json")
        return {"task": self.name, "file": str(self.path), "sha256": dict(self.hashes), "format": FORMAT, "settings": kept}


def read_task(path: str | Path) -> Task:
    """A task of a file. Raises TaskError, with all that is wrong."""
    path = Path(path)
    rows = list(_rows(path))
    head = rows[0].fields if rows and "kind" in rows[0].fields else None
    questions = rows if head is None else rows[1:]
    if not questions:
        raise TaskError(f"{path} holds no question; write a line for each")
    settings = _settings(path, head if head is not None else {"kind": _kind_of(path, questions[0])})
    kind = KINDS[settings.kind]
    settings = settings.model_copy(update={"prompt": settings.prompt or kind.prompt})
    examples, hashes = questions, {path.name: sha256_of_file(path)}
    problems = list(_problems(path, settings, questions))
    if settings.examples:
        other = path.parent / settings.examples
        examples = [row for row in _rows(other) if "kind" not in row.fields]
        problems += _problems(other, settings, examples)
        hashes[other.name] = sha256_of_file(other)
    if settings.shots and not kind.shots:
        problems.append(f"{path}, line 1: shots: {settings.kind} takes no examples before a question; leave it out")
    if problems:
        raise TaskError(*_shown(problems))
    spare = len({filled_in(settings.prompt, example.fields) for example in examples}) - 1
    if settings.shots > max(0, spare):
        raise TaskError(f"{path}, line 1: shots: {settings.shots} are wanted and {spare} other questions are there to be shown")
    return Task(path, settings.task or path.stem, settings, questions, examples, hashes)


def _rows(path: Path) -> Iterator[Question]:
    """The lines of a file that aren't empty. Raises TaskError for all that are no JSON objects."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.jsonl")]) if path.parent.is_dir() else ""
        raise TaskError(f"there is no file {path}{near}") from error
    except OSError as error:
        raise TaskError(f"{path} can't be read: {error.strerror}; give a .jsonl file") from error
    except UnicodeDecodeError as error:
        at = error.object[: error.start].count(b"\n") + 1
        raise TaskError(f"{path}, line {at:,}: the byte {error.object[error.start]:#04x} is no UTF-8") from error
    found, problems = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{path}, line {number:,}: no JSON ({error})")
            continue
        if isinstance(fields, dict):
            found.append(Question(fields, number))
        else:
            problems.append(f"{path}, line {number:,}: write a JSON object, in braces")
    if problems:
        raise TaskError(*_shown(problems))
    yield from found


def _settings(path: Path, head: Mapping[str, Any]) -> TaskSettings:
    try:
        return TaskSettings.model_validate(head)
    except pydantic.ValidationError as error:
        problems = []
        for mistake in error.errors():
            key = ".".join(map(str, mistake["loc"]))
            if mistake["type"] == "extra_forbidden":
                known = TaskSettings.model_fields
                problems.append(f"{path}, line 1: unknown key {key}{nearest(key, known)} (known: {', '.join(known)})")
            else:
                found = f"; found {mistake['input']!r:.80}"
                problems.append(f"{path}, line 1: {key}: {mistake['msg'].removeprefix('Value error, ')}{found}")
        raise TaskError(*problems) from None


def _kind_of(path: Path, first: Question) -> str:
    """What kind the fields of a question are for, where no first line says it."""
    for name, kind in KINDS.items():
        if all(field in first.fields for field in kind.fields):
            return name
    ways = "; ".join(f"{name}: {', '.join(kind.fields)}" for name, kind in KINDS.items())
    raise TaskError(
        f"{path}, line {first.line:,}: what kind of task is it? Found the fields {', '.join(first.fields) or 'none'}. Begin "
        f'the file with {{"kind": "multiple choice"}}, say, or give the fields of a kind ({ways})'
    )


def _problems(path: Path, settings: TaskSettings, questions: Sequence[Question]) -> Iterator[str]:
    kind = KINDS[settings.kind]
    names = placeholders(settings.prompt) if kind.shots else []
    if kind.shots and "answer" not in placeholders(settings.answer):
        yield f"{path}, line 1: answer: {{answer}} has to stand in it; found {settings.answer!r}"
    for question in questions:
        mistakes = [
            f"the prompt's field {name!r} is missing{nearest(name, question.fields)}"
            for name in names
            if name not in question.fields and name != "answer"
        ]
        missing = [name for name in kind.fields if name not in question.fields and name not in names]
        needed = [name for name in missing if name not in kind.asked]
        mistakes += [f"the field {name!r} is missing{nearest(name, question.fields)}" for name in needed]
        if not needed:
            mistakes += kind.problems(question.fields)
        yield from (f"{path}, line {question.line:,}: {mistake}" for mistake in mistakes)


def _shown(problems: Sequence[str]) -> list[str]:
    more = len(problems) - SHOWN_PROBLEMS
    return [*problems[:SHOWN_PROBLEMS], *([f"and {more:,} more such lines"] if more > 0 else [])]
