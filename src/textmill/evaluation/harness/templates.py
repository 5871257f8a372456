"""How a question becomes what a model reads: its prompt, behind examples with answers, as one text or as a conversation."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .contract import Context

if TYPE_CHECKING:
    from .task_file import Question, Task

FIELD = re.compile(r"\{(\w+)\}")


def placeholders(template: str) -> list[str]:
    """The names that stand in braces."""
    return FIELD.findall(template)


def filled_in(template: str, fields: Mapping[str, Any]) -> str:
    """The template with the fields in their places; other braces stay as they are."""
    return FIELD.sub(lambda name: str(fields[name[1]]) if name[1] in fields else name[0], template)


def drawn(question: "Question", task: "Task") -> Sequence["Question"]:
    """The examples before a question: `shots` of them, as the seed and the question's line say; none asks the same as another,
    or as the question."""
    settings, chosen = task.settings, dict[str, "Question"]()
    asked = filled_in(settings.prompt, question.fields)
    generator = random.Random(f"{settings.seed}/{question.line}")
    while len(chosen) < settings.shots:  # of more questions than that: see read_task
        example = task.examples[int(generator.random() * len(task.examples))]
        if (other := filled_in(settings.prompt, example.fields)) != asked:
            chosen.setdefault(other, example)
    return list(chosen.values())


def context_of(question: "Question", task: "Task", chat: bool) -> Context:
    """What a model reads before its answer. In a `chat` each example is a turn, and the question the last message."""
    settings, kind = task.settings, task.kind
    examples = [(filled_in(settings.prompt, each.fields), kind.wanted(each.fields)) for each in drawn(question, task)]
    asked = filled_in(settings.prompt, question.fields)
    if chat:
        messages = [{"role": "system", "content": settings.beginning}] if settings.beginning else []
        for prompt, answer in examples:
            messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return (*messages, {"role": "user", "content": asked})
    shown = [prompt + settings.answer.replace("{answer}", answer) + settings.separator for prompt, answer in examples]
    return "".join([settings.beginning, *shown, asked])
