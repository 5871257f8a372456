"""The kinds of tasks: what is asked of a model, and what its answer is worth. One class, and an entry in KINDS, for each.

Every figure is a sum over the questions divided by another sum, so that all have their intervals in the same way.
"""

import math
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...score import BITS_PER_BYTE
from ..words import count_words
from .contract import Context, Continuation, Prompt

Fields = Mapping[str, Any]
ARTICLES = re.compile(r"\b(a|an|the)\b")


@dataclass(frozen=True)
class Measure:
    """A figure: the sum of a mark over the sum of another, or over the number of questions."""

    name: str
    mark: str
    per: str | None = None
    unit: str = ""
    higher_is_better: bool = True


class Kind(Protocol):
    """`fields` every question has to have, of which those in `asked` are for the default `prompt` alone. `method`: which of the
    three a model is asked by. `shots`: whether examples may stand before a question."""

    @property
    def method(self) -> str: ...

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def asked(self) -> tuple[str, ...]: ...

    @property
    def prompt(self) -> str: ...

    @property
    def shots(self) -> bool: ...

    @property
    def measures(self) -> tuple[Measure, ...]: ...

    def problems(self, fields: Fields) -> Iterator[str]:
        """What is wrong with a question that has all fields."""

    def wanted(self, fields: Fields) -> str:
        """The right answer, as it is shown in an example."""

    def requests(self, fields: Fields, context: Context, settings: Any) -> list[Any]:
        """What a model is asked."""

    def marks(self, fields: Fields, answers: Sequence[Any], settings: Any) -> dict[str, Any]:
        """What its answers are worth."""

    def chance(self, fields: Fields) -> dict[str, float] | None:
        """What guessing is worth on average; None where there is nothing to choose from."""


def behind(context: Context, answer: str, settings: Any) -> str:
    """An answer as it stands behind a context; in a conversation it begins a turn, so without a blank."""
    placed = settings.answer.replace("{answer}", answer)
    return placed if isinstance(context, str) else placed.strip()


class MultipleChoice:
    """The choice that is likeliest behind the prompt; and that whose bytes are likeliest, since long choices are unlikely."""

    method, shots = "loglikelihood", True
    fields, asked, prompt = ("question", "choices", "answer"), ("question",), "{question}"
    measures = (Measure("accuracy", "right"), Measure("accuracy per byte", "right_per_byte"))

    def problems(self, fields: Fields) -> Iterator[str]:
        choices, answer = fields["choices"], fields["answer"]
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices) or len(choices) < 2:
            yield f"choices: write a list of two texts or more; found {choices!r:.80}"
            return
        if empty := [number for number, choice in enumerate(choices) if not choice.strip()]:
            yield f"choices: number {empty[0]} (from 0) is empty"
        if len(set(choices)) < len(choices):
            yield "choices: two of them are the same"
        if isinstance(answer, str):
            if answer not in choices:
                yield f"answer: {answer!r:.80} is none of the choices"
        elif isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
            yield f"answer: write the choice, or its number from 0 to {len(choices) - 1}; found {answer!r:.80}"

    def wanted(self, fields: Fields) -> str:
        return fields["choices"][self.right(fields)]

    def right(self, fields: Fields) -> int:
        """The number of the right choice, from 0."""
        answer = fields["answer"]
        return fields["choices"].index(answer) if isinstance(answer, str) else answer

    def requests(self, fields: Fields, context: Context, settings: Any) -> list[Any]:
        return [Continuation(context, behind(context, choice, settings)) for choice in fields["choices"]]

    def marks(self, fields: Fields, answers: Sequence[Any], settings: Any) -> dict[str, Any]:
        logs = [answer[0] for answer in answers]
        per_byte = [log / len(choice.encode()) for log, choice in zip(logs, fields["choices"], strict=True)]
        chosen, chosen_per_byte, right = logs.index(max(logs)), per_byte.index(max(per_byte)), self.right(fields)
        return {
            "wanted": right,
            "chosen": chosen,
            "chosen_per_byte": chosen_per_byte,
            "right": chosen == right,
            "right_per_byte": chosen_per_byte == right,
            "log_probabilities": logs,
        }

    def chance(self, fields: Fields) -> dict[str, float] | None:
        return dict.fromkeys(("right", "right_per_byte"), 1 / len(fields["choices"]))


class Rolling:
    """How many bits a text costs, read from its beginning to its end, as `textmill evaluate` counts: its end is a byte and a
    word more."""

    method, shots = "loglikelihood_rolling", False
    fields, asked, prompt = ("text",), (), ""
    measures = (
        Measure("bits per byte", "bits", "bytes", BITS_PER_BYTE.unit, higher_is_better=False),
        Measure("bits per word", "bits", "words", "bits/word", higher_is_better=False),
    )

    def problems(self, fields: Fields) -> Iterator[str]:
        if not isinstance(fields["text"], str) or not fields["text"]:
            yield f"text: write a text; found {fields['text']!r:.80}"

    def wanted(self, fields: Fields) -> str:
        return fields["text"]

    def requests(self, fields: Fields, context: Context, settings: Any) -> list[Any]:
        return [fields["text"]]

    def marks(self, fields: Fields, answers: Sequence[Any], settings: Any) -> dict[str, Any]:
        text = fields["text"]
        return {
            "bits": -answers[0] / math.log(2),
            "bytes": len(text.encode()) + 1,
            "words": count_words(text) + 1,
        }

    def chance(self, fields: Fields) -> dict[str, float] | None:
        return None


class MinimalPairs:
    """Whether the good one of two texts that differ in one point is the likelier (as in BLiMP, Warstadt et al. 2020); their
    ends aren't counted."""

    method, shots = "loglikelihood", False
    fields, asked, prompt = ("good", "bad"), (), ""
    measures = (Measure("accuracy", "right"),)

    def problems(self, fields: Fields) -> Iterator[str]:
        for name in self.fields:
            if not isinstance(fields[name], str) or not fields[name].strip():
                yield f"{name}: write a text; found {fields[name]!r:.80}"
        if fields["good"] == fields["bad"]:
            yield "good and bad are the same text"

    def wanted(self, fields: Fields) -> str:
        return fields["good"]

    def requests(self, fields: Fields, context: Context, settings: Any) -> list[Any]:
        return [Continuation("", fields[name]) for name in self.fields]

    def marks(self, fields: Fields, answers: Sequence[Any], settings: Any) -> dict[str, Any]:
        good, bad = (answer[0] for answer in answers)
        return {"right": good > bad, "log_probabilities": [good, bad]}

    def chance(self, fields: Fields) -> dict[str, float] | None:
        return {"right": 0.5}


class Generate:
    """Whether what is written behind the prompt is the answer."""

    method, shots = "generate_until", True
    fields, asked, prompt = ("prompt", "answer"), ("prompt",), "{prompt}"
    measures = (Measure("exact match", "right"),)

    def problems(self, fields: Fields) -> Iterator[str]:
        answers = self.right(fields)
        if not answers or not all(isinstance(answer, str) and answer.strip() for answer in answers):
            yield f"answer: write a text, or a list of texts each of which is right; found {fields['answer']!r:.80}"

    def wanted(self, fields: Fields) -> str:
        return self.right(fields)[0]

    def right(self, fields: Fields) -> list[str]:
        """All answers that are right."""
        answer = fields["answer"]
        return answer if isinstance(answer, list) else [answer]

    def requests(self, fields: Fields, context: Context, settings: Any) -> list[Any]:
        return [Prompt(context, settings.until, settings.max_tokens)]

    def marks(self, fields: Fields, answers: Sequence[Any], settings: Any) -> dict[str, Any]:
        normal = words_alone if settings.match == "words" else str.strip
        return {
            "written": answers[0],
            "wanted": fields["answer"],
            "right": normal(answers[0]) in [normal(answer) for answer in self.right(fields)],
        }

    def chance(self, fields: Fields) -> dict[str, float] | None:
        return None


def words_alone(text: str) -> str:
    """In lower case, without punctuation, articles and further blanks (as SQuAD's, Rajpurkar et al. 2016)."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(ARTICLES.sub(" ", kept).split())


KINDS: dict[str, Kind] = {
    "multiple choice": MultipleChoice(),
    "minimal pairs": MinimalPairs(),
    "generate": Generate(),
    "rolling": Rolling(),
}
