"""Answers from dialogues: supervised tuning in the model's own chat template.

task = textmill.tasks.Chat()
model = task.train("sample:smollm2", "dialogues.jsonl", test="test.jsonl", out="runs/answers")
model("What do you do?")
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import TaskError, TokenizerError
from ..evaluation.answers import Answered, answer, answer_nats, answer_scores, bits_per_byte, side_by_side
from ..formats.model_folder import ModelFolder, load_model_folder
from ..inference.sampling import Sampling
from ..models.language_model import LanguageModel
from ..models.loss import LossTerms
from ..report.task_page import write_task_page
from ..score import BITS_PER_ANSWER_BYTE
from ..tokens.chat_template import Message
from ..tokens.dialogues import DialogueLoader, DialogueTokens, encode_dialogue
from ..tokens.tokenizer import Tokenizer
from ..training.answers import AnswerObjective
from .application import Application
from .dialogues import Dialogue, read_dialogues
from .examples import Split, divide, lines_named, refuse_lines
from .judged import Judged
from .labelled import Reading
from .settings import DialogueRecipe
from .tuning import Tuning, tune, writing_base

USUAL, PLAIN = DialogueRecipe(), Reading()
ROW_TOKENS = 256  # of a row that short conversations share
LONGEST = 1024  # tokens of a conversation, where neither the recipe nor the model says


@dataclass(frozen=True)
class Answerer:
    """A model folder that answers, ready to be asked."""

    folder: ModelFolder

    @classmethod
    def load(cls, path: str | Path) -> "Answerer":
        """Of a model folder, or of the folder that a task was learnt in."""
        return cls(load_model_folder(path))

    def __call__(self, asked: str | Sequence[Message], sampling: Sampling | None = None, max_tokens: int = 200) -> str:
        """The answer to a question, or to a conversation; the likeliest token each time unless `sampling` says otherwise."""
        messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        return answer(self.folder.model, self.folder.tokenizer, messages, max_tokens, sampling)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The answer to each question."""
        return [self(text) for text in texts]


class Chat(Application[Dialogue, Answerer]):
    """The task: learns from conversations to answer. `usual`: the recipe where none is given."""

    name: ClassVar = "chat"
    usual: ClassVar[DialogueRecipe] = USUAL
    asked: ClassVar = "chat {folder}"

    def __init__(self, recipe: DialogueRecipe = USUAL, reading: Reading = PLAIN):
        self.recipe, self.reading = recipe, reading
        if problems := recipe.learn.problems():
            raise TaskError(*problems)
        if reading.text or reading.label:
            raise TaskError("conversations have no columns; leave --text-column and --label-column out")

    def read(self, data: str | Path, test: str | Path | None = None, validation: str | Path | None = None) -> Split[Dialogue]:
        """The conversations of these files, checked; `report` tells what was found. Raises TaskError with all that is wrong."""
        share = self.recipe.learn.validation
        return divide(lambda path: read_dialogues(path, self.reading.encoding), data, test, validation, share)

    def learn(
        self, base: str | Path | None, split: Split[Dialogue], out: str | Path, restart: bool = False, judging: bool = True
    ) -> Answerer:
        """Learn from conversations that are read already, be judged by the test where `judging`, and write the folder `out`."""
        learn = self.recipe.learn
        texts = [message["content"] for example in split.training for message in example.messages]
        chosen = writing_base(base, [*texts, "system\n", "user\n", "assistant\n"], self.recipe)
        longest = min(learn.longest or LONGEST, chosen.body.context_limit or LONGEST)
        training, held_out, test = (
            encoded(examples, chosen.tokenizer, longest, name)
            for name, examples in (("training", split.training), ("validation", split.validation), ("test", split.test))
        )
        if not training or not held_out:
            raise TaskError(
                f"no conversation is left to learn from, or to validate on, within learn.longest = {longest} tokens"
            )
        body, tokenizer, rows = chosen.body, chosen.tokenizer, learn.batch_size
        asked = questions(split.test or split.validation, learn.shown_answers if judging else 0)
        before = answer_nats(body, test, rows) if test and judging else np.zeros(0)
        said = [answer(body, tokenizer, messages, learn.answer_tokens) for messages, _ in asked]
        room = min(ROW_TOKENS, body.context_limit or 0)  # what has no limit knows no segments either
        tuning = Tuning(
            base=chosen,
            learn=learn,
            objective=AnswerObjective(LossTerms(label_smoothing=learn.label_smoothing)),
            loader=DialogueLoader(training, learn.batch_size, learn.seed, room),
            figure=BITS_PER_ANSWER_BYTE,
            units_per_target=sum(each.answer_bytes for each in training) / sum(int(each.asked.sum()) for each in training),
            validate=lambda model: bits_per_byte(model, held_out, rows),
            verb="answers",
            shown=lambda model: _shown(model, tokenizer, split.validation[0], learn.answer_tokens),
            lineage={"base": chosen.name, "data": split.hash, "longest": longest},
        )
        model = Answerer.load(tune(tuning, Path(out), restart))
        if not judging:
            return model
        answered = [
            Answered(messages[-1]["content"], wanted, old, model(messages, max_tokens=learn.answer_tokens))
            for (messages, wanted), old in zip(asked, said, strict=True)
        ]
        judged = judge(model, test, before, answered, {"data": split.hash, "test": split.test_hash}, rows)
        print(judged if test else "")
        print(side_by_side(answered))
        judged.write(Path(out))
        if test:
            print(f"  {write_task_page(Path(out))}: open it in a browser")
        return model


def encoded(examples: Sequence[Dialogue], tokenizer: Tokenizer, longest: int, name: str) -> list[DialogueTokens]:
    """The conversations as tokens. Of one with more than `longest` the turns are kept that fit, and it is left out where not
    even its first answer does; both are said. Raises TaskError, with the lines, where the chat template doesn't take them."""
    found, cut, out = list[DialogueTokens](), list[int](), list[int]()
    problems: dict[str, list[int]] = {}
    for example in examples:
        try:
            whole = encode_dialogue(tokenizer, example.messages)
        except TokenizerError as error:
            problems.setdefault(f"{error}", []).append(example.line)
            continue
        kept = whole.within(longest + 1)  # the last token is never read
        if kept is None:
            out.append(example.line)
            continue
        if kept is not whole:
            cut.append(example.line)
        found.append(kept)
    refuse_lines(examples[0].file if examples else "", problems)
    for lines, what in (
        (cut, "their last turns are left out"),
        (out, "they are left out, since their first answer is beyond it"),
    ):
        if lines:
            print(f"  {len(lines):,} {name} conversations have more than {longest} tokens: {what} ({lines_named(lines)})")
    return found


def questions(examples: Sequence[Dialogue], count: int) -> list[tuple[Sequence[Message], str]]:
    """Of the first conversations what stands before the last answer, and that answer."""
    return [(example.messages[:-1], example.messages[-1]["content"]) for example in examples[:count]]


def judge(
    model: Answerer,
    test: Sequence[DialogueTokens],
    before: np.ndarray,
    answered: Sequence[Answered],
    signature: dict[str, object],
    rows: int,
) -> Judged:
    """What the test's answers cost the model, beside what they cost it before; and the answers of both."""
    more = {"answers": [vars(each) for each in answered]}
    if not test:
        return Judged([], {}, more)
    after, start, change = answer_scores(answer_nats(model.folder.model, test, rows), before, test, dict(signature))
    return Judged([after, change], {"before": [start]}, more)


def _shown(model: LanguageModel, tokenizer: Tokenizer, example: Dialogue, max_tokens: int) -> str:
    (messages, wanted), *_ = questions([example], 1)
    return f"“{answer(model, tokenizer, messages, max_tokens)}” to “{messages[-1]['content'][:60]}”, for “{wanted[:60]}”"
