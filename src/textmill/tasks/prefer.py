"""Which answers are preferred, learnt from pairs: direct preference optimisation (training/preference.py).

task = textmill.tasks.Prefer()
model = task.train("runs/answers", "pairs.jsonl", test="test.jsonl", out="runs/preferred")
model("What do you do?")
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import TaskError, TokenizerError
from ..evaluation.answers import answer, answer_nats
from ..evaluation.bootstrap import bootstrap_ratio
from ..evaluation.label_metrics import accuracy
from ..files import fingerprint, read_json, write_json
from ..models.language_model import LanguageModel
from ..score import BITS_PER_PAIR, Score
from ..tokens.preferences import PairTokens, PreferenceLoader, encode_pair
from ..tokens.tokenizer import Tokenizer
from ..training.preference import PreferenceObjective
from .application import Application
from .chat import LONGEST, Answerer
from .examples import Split, divide, lines_named, refuse_lines
from .judged import Judged
from .labelled import Reading
from .preferences import Preference, read_preferences
from .settings import DialogueRecipe
from .tuning import Tuning, tune, writing_base

USUAL, PLAIN = DialogueRecipe(), Reading()
REFERENCE_FILE = "reference.json"


class Prefer(Application[Preference, Answerer]):
    """The task: learns from pairs of answers which one is preferred. `usual`: the recipe where none is given."""

    name: ClassVar = "prefer"
    usual: ClassVar[DialogueRecipe] = USUAL
    asked: ClassVar = "chat {folder}"

    def __init__(self, recipe: DialogueRecipe = USUAL, reading: Reading = PLAIN):
        self.recipe, self.reading = recipe, reading
        problems = recipe.learn.problems()
        if recipe.learn.label_smoothing:
            problems.append("learn.label_smoothing is for labels, and a pair has none; leave it out")
        if reading.text or reading.label:
            problems.append("pairs of answers have no columns; leave --text-column and --label-column out")
        if problems:
            raise TaskError(*problems)

    def read(self, data: str | Path, test: str | Path | None = None, validation: str | Path | None = None) -> Split[Preference]:
        """The pairs of these files, checked; `report` tells what was found. Raises TaskError with all that is wrong."""
        share = self.recipe.learn.validation
        return divide(lambda path: read_preferences(path, self.reading.encoding), data, test, validation, share)

    def learn(
        self, base: str | Path | None, split: Split[Preference], out: str | Path, restart: bool = False, judging: bool = True
    ) -> Answerer:
        """Learn from pairs that are read already, be judged by the test where `judging`, and write the folder `out`."""
        if base is None:
            raise TaskError(
                "a preference is learnt on a model that answers already: name it by --base; textmill tune chat makes one"
            )
        learn, out = self.recipe.learn, Path(out)
        chosen = writing_base(base, [], self.recipe)
        body, tokenizer, rows = chosen.body, chosen.tokenizer, 2 * learn.batch_size
        longest = min(learn.longest or LONGEST, body.context_limit or LONGEST)
        parts = {
            name: encoded(examples, tokenizer, longest, name)
            for name, examples in (("training", split.training), ("validation", split.validation), ("test", split.test))
        }
        if not parts["training"] or not parts["validation"]:
            raise TaskError(f"no pair is left to learn from, or to validate on, within learn.longest = {longest} tokens")
        training, held_out, test = with_reference(body, parts, out / REFERENCE_FILE, rows)
        tuning = Tuning(
            base=chosen,
            learn=learn,
            objective=PreferenceObjective(learn.beta),
            loader=PreferenceLoader(training, learn.batch_size, learn.seed),
            figure=BITS_PER_PAIR,
            units_per_target=1.0,
            validate=lambda model: bits_per_pair(reward_margins(model, held_out, rows), learn.beta),
            verb="answers",
            shown=lambda model: _shown(model, tokenizer, split.validation[0], learn.answer_tokens),
            lineage={"base": chosen.name, "data": split.hash, "longest": longest, "beta": learn.beta},
        )
        model = Answerer.load(tune(tuning, out, restart))
        if test and judging:
            signature = {"data": split.hash, "test": split.test_hash, "longest": longest, "beta": learn.beta}
            judged = judge(model.folder.model, test, rows, signature)
            print(judged)
            judged.write(out)
        return model


def encoded(examples: Sequence[Preference], tokenizer: Tokenizer, longest: int, name: str) -> list[PairTokens]:
    """The pairs as tokens. Where one has more than `longest` its conversation loses its oldest messages, and it is left out
    where the last message and its answers are too long themselves; both are said. Raises TaskError, with the lines, where the
    chat template doesn't take them."""
    found, shortened, out = list[PairTokens](), list[int](), list[int]()
    problems: dict[str, list[int]] = {}
    for example in examples:
        try:
            pair = encode_pair(tokenizer, example.messages, example.chosen, example.rejected, longest)
        except TokenizerError as error:
            problems.setdefault(f"{error}", []).append(example.line)
            continue
        if pair is None:
            out.append(example.line)
            continue
        if pair[1]:
            shortened.append(example.line)
        found.append(pair[0])
    refuse_lines(examples[0].file if examples else "", problems)
    for lines, what in ((shortened, "their oldest messages are left out"), (out, "even so, and they are left out")):
        if lines:
            print(f"  {len(lines):,} {name} pairs have more than {longest} tokens: {what} ({lines_named(lines)})")
    return found


def log_probabilities(model: Any, pairs: Sequence[PairTokens], rows: int) -> np.ndarray:
    """Of each pair's two answers, (N, 2), the preferred one first."""
    both = [dialogue for pair in pairs for dialogue in (pair.chosen, pair.rejected)]
    return -answer_nats(model, both, rows).reshape(-1, 2)


def with_reference(body: LanguageModel, parts: dict[str, list[PairTokens]], path: Path, rows: int) -> list[list[PairTokens]]:
    """The pairs of each part with what their answers are to the model before it learns; read from the file where that is known,
    so that a training that goes on goes on from the same numbers."""
    weights = [float(parameter.detach().double().sum()) for parameter in body.parameters()]
    tokens = [[[pair.chosen.tokens.tolist(), pair.rejected.tokens.tolist()] for pair in pairs] for pairs in parts.values()]
    key = fingerprint([weights, tokens])
    known = read_json(path) if path.is_file() else {}
    if known.get("of") != key:
        known = {"of": key} | {name: log_probabilities(body, pairs, rows).tolist() for name, pairs in parts.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, known)
    return [
        [dataclasses.replace(pair, reference=tuple(numbers)) for pair, numbers in zip(pairs, known[name], strict=True)]
        for name, pairs in parts.items()
    ]


def reward_margins(model: Any, pairs: Sequence[PairTokens], rows: int) -> np.ndarray:
    """How much further each preferred answer rose than the other, (N,) in nats."""
    risen = log_probabilities(model, pairs, rows) - np.array([pair.reference for pair in pairs])
    return risen[:, 0] - risen[:, 1]


def bits_of_pairs(margins: np.ndarray, beta: float) -> np.ndarray:
    """The loss of each, (N,), 1 where nothing is learnt."""
    return np.logaddexp(0.0, -beta * margins) / math.log(2)


def bits_per_pair(margins: np.ndarray, beta: float) -> float:
    """The loss's mean."""
    return float(bits_of_pairs(margins, beta).mean())


def judge(model: Any, test: Sequence[PairTokens], rows: int, signature: dict[str, Any]) -> Judged:
    """How often the preferred answer rose further than the other, which before learning is half by definition; beside how often
    it was the likelier one to begin with, as a whole or by token, and how often it is the shorter one."""
    found = reward_margins(model, test, rows)
    start = np.array([pair.reference for pair in test])
    sizes = np.array([(pair.chosen.asked.sum(), pair.rejected.asked.sum()) for pair in test])

    def share(name: str, differences: np.ndarray) -> Score:
        right = np.where(differences == 0, 0.5, differences > 0)
        return dataclasses.replace(accuracy(right, signature), name=name)

    def loss(differences: np.ndarray) -> Score:
        bits = bits_of_pairs(differences, signature["beta"])
        interval = bootstrap_ratio(bits, np.ones(len(bits)))
        return Score(BITS_PER_PAIR.name, float(bits.mean()), *interval, len(bits), BITS_PER_PAIR.unit, signature)

    name, nothing = "preference accuracy", np.zeros(len(test))
    return Judged(
        scores=[share(name, found), loss(found)],
        baselines={
            "before, by definition": [share(name, nothing), loss(nothing)],
            "likelier at the start": [share(name, start[:, 0] - start[:, 1])],
            "likelier by token at the start": [share(name, (start / sizes)[:, 0] - (start / sizes)[:, 1])],
            "shorter": [share(name, sizes[:, 1] - sizes[:, 0])],
        },
    )


def _shown(model: LanguageModel, tokenizer: Tokenizer, example: Preference, max_tokens: int) -> str:
    last = example.messages[-1]["content"]
    return f"“{answer(model, tokenizer, example.messages, max_tokens)}” to “{last[:60]}”"
