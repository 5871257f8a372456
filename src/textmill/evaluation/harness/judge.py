"""Models on tasks: asks each model each question, beside baselines that are told less, and gives a report.

from textmill.evaluation.harness import judge, read_task
print(judge({"mine": model}, [read_task("capitals.jsonl")]).render())
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import TaskError
from ...progress import Progress
from .contract import Bounded, Context, JudgedModel
from .results import Report, Result, System
from .task_file import SHOWN_PROBLEMS, Task
from .templates import context_of

AT_ONCE = 64  # questions that a model is given together: batches are made of them, and the progress line moves on
MODEL, BASELINE = "model", "baseline"


def judge(
    models: Mapping[str, JudgedModel],
    tasks: Sequence[Task],
    chat: bool = False,
    ngram: JudgedModel | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Report:
    """Each model, by the name that the table gives it, on each task; with `chat` in its own chat template. Beside them stand
    chance, the first model without the question, and the n-gram where there is one. `asked` goes into the report.

    Raises TaskError, before anything is asked, for every question that a model can't take.
    """
    if not models or not tasks:
        raise ValueError("give a model and a task, one at least")
    if problems := [problem for task in tasks for name, model in models.items() for problem in _unfit(task, name, model, chat)]:
        more = len(problems) - SHOWN_PROBLEMS
        raise TaskError(*problems[:SHOWN_PROBLEMS], *([f"and {more:,} more"] if more > 0 else []))
    return Report([_judged(task, models, chat, ngram) for task in tasks], asked)


def _judged(task: Task, models: Mapping[str, JudgedModel], chat: bool, ngram: JudgedModel | None) -> Result:
    systems = []
    for name, model in models.items():
        signature = {"system": getattr(model, "signature", {"model": type(model).__qualname__}), "chat": chat}
        systems.append(System(name, MODEL, signature, _asked(task, name, model, _contexts(task, chat))))
    blind: Sequence[Context] = [""] * len(task.questions)
    first, model = next(iter(models.items()))
    if task.settings.kind == "multiple choice":
        signature = {**systems[0].signature, "without": "the question"}
        name = f"{first}, without the question"
        systems.append(System(name, BASELINE, signature, _asked(task, name, model, blind)))
    if ngram is not None:
        signature = {"system": getattr(ngram, "signature", {}), "chat": False}
        systems.append(System("n-gram", BASELINE, signature, _asked(task, "n-gram", ngram, _contexts(task, False))))
    guesses = [task.kind.chance(question.fields) for question in task.questions]
    chance = [guess for guess in guesses if guess is not None]
    if chance:
        systems.append(System("chance", BASELINE, {"system": {"model": "chance"}}, chance))
    return Result(task, systems)


def _contexts(task: Task, chat: bool) -> list[Context]:
    return [context_of(question, task, chat) if task.kind.shots else "" for question in task.questions]


def _requests(task: Task, contexts: Sequence[Context]) -> list[list[Any]]:
    """What is asked for each question."""
    return [
        task.kind.requests(question.fields, context, task.settings)
        for question, context in zip(task.questions, contexts, strict=True)
    ]


def _asked(task: Task, name: str, model: JudgedModel, contexts: Sequence[Context]) -> list[dict[str, Any]]:
    """The marks of a model's answers."""
    requests, marks = _requests(task, contexts), list[dict[str, Any]]()
    ask = getattr(model, task.kind.method)
    with Progress(f"{task.name}, {name}", len(requests), "questions", sys.stderr) as progress:
        for start in range(0, len(requests), AT_ONCE):
            together = requests[start : start + AT_ONCE]
            flat = [request for each in together for request in each]
            answers = list(ask(flat))
            if len(answers) != len(flat):
                raise TaskError(f"{name}: {task.kind.method} was asked {len(flat)} things and answered {len(answers)}")
            for question, each in zip(task.questions[start : start + AT_ONCE], together, strict=True):
                own, answers = answers[: len(each)], answers[len(each) :]
                marks.append(task.kind.marks(question.fields, own, task.settings))
            progress.advance(len(together))
    return marks


def _unfit(task: Task, name: str, model: JudgedModel, chat: bool) -> list[str]:
    """What of a task a model can't take, with the lines."""
    if not isinstance(model, Bounded):
        return []
    problems = []
    for question, requests in zip(task.questions, _requests(task, _contexts(task, chat)), strict=True):
        reasons = [reason for request in requests if (reason := model.unfit(request)) is not None]
        if reasons:
            problems.append(f"{task.path}, line {question.line:,}: for {name}, {reasons[0]}")
    return problems
