"""What a small language model learns from examples: SmolLM2 with low ranks answers TREC's questions for their class, and learns
from pairs of answers which one people prefer. Each beside what it did before; one JSON line each, as bench/tasks.py has it.

    python bench/tasks_language.py --data DIR [--only trec_lora|hh_rlhf_dpo] [--out FOLDER]

Learning rates and the like were chosen by validation examples, never by those that are counted here (docs/experiments.md).
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textmill.evaluation.harness.contract import Continuation
from textmill.evaluation.harness.language_model import JudgedLanguageModel
from textmill.formats.model_folder import load_model_folder
from textmill.formats.sources import model_path
from textmill.tasks import Chat, Prefer
from textmill.tasks.examples import held_out
from textmill.tasks.labelled import LabelledText, Reading, read_labelled
from textmill.tasks.preferences import read_preferences
from textmill.tasks.settings import DialogueRecipe, DialogueSettings

BASE = "sample:smollm2"
LATIN = Reading(encoding="latin-1")
CLASSES = {"0": "description", "1": "entity", "2": "abbreviation", "3": "human", "4": "location", "5": "number"}
ASKED = "Is the answer to this question a description, entity, abbreviation, human, location or number?"
BRIEF = {"role": "system", "content": "Be helpful and harmless."}
PAIRS, TEST_PAIRS = 480, 520  # that are learnt from, and counted; those that are too long are taken out of them
QUESTIONS = 1_000  # of TREC's 5,452 that are learnt from


def messages_of(text: str) -> list[dict[str, str]]:
    """A question as the model is asked it."""
    return [{"role": "system", "content": ASKED}, {"role": "user", "content": text}]


def rightly_chosen(path: str | Path, examples: Sequence[LabelledText]) -> np.ndarray:
    """Whether the likeliest of the classes' names is each question's, (N,) bool."""
    judged = JudgedLanguageModel(load_model_folder(path))
    asked = [Continuation(tuple(messages_of(each.text)), name) for each in examples for name in CLASSES.values()]
    found = np.array([log_probability for log_probability, _ in judged.loglikelihood(asked)]).reshape(len(examples), -1)
    names = list(CLASSES)
    return np.array([names[best] == each.labels[0] for best, each in zip(found.argmax(1), examples, strict=True)])


def gain(after: np.ndarray, before: np.ndarray, samples: int = 10_000) -> tuple[float, float, float]:
    """Points of accuracy gained, and the paired bootstrap's 95 % interval over the questions."""
    difference = after.astype(float) - before
    drawn = np.random.default_rng(0).integers(0, len(difference), size=(samples, len(difference)))
    low, high = np.percentile(difference[drawn].mean(axis=1), (2.5, 97.5))
    return 100 * float(difference.mean()), 100 * float(low), 100 * float(high)


def trec_lora(data: Path, out: Path, validate: bool, **learn: Any) -> dict[str, Any]:
    """The gain over zero-shot, in points; by `validate` on questions held out of the training file."""
    begun = time.monotonic()
    rest, held = held_out(read_labelled(data / "trec" / "train.txt", LATIN).examples, 0.05)
    test = held if validate else read_labelled(data / "trec" / "test.txt", LATIN).examples
    known = {each.text for each in test}
    out.mkdir(parents=True, exist_ok=True)
    for name, examples in (("train", [each for each in rest if each.text not in known][:QUESTIONS]), ("validation", held[:50])):
        lines = [
            {"messages": [*messages_of(each.text), {"role": "assistant", "content": CLASSES[each.labels[0]]}]}
            for each in examples
        ]
        (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    usual: dict[str, Any] = {"way": "lora", "rank": 8, "epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "shown_answers": 0}
    task = Chat(DialogueRecipe(learn=DialogueSettings(**usual | learn)))
    task.train(BASE, out / "train.jsonl", None, out / "validation.jsonl", out / "run", restart=True)
    print(f"  trained by {time.monotonic() - begun:.0f} s", flush=True)
    before = rightly_chosen(model_path(BASE), test)
    after = rightly_chosen(out / "run", test)
    value, low, high = gain(after, before)
    return {
        "task": "trec_lora", "value": value, "low": low, "high": high, "baseline": 100 * float(before.mean()), "goal": 10.0,
        "seconds": time.monotonic() - begun, "accuracy": 100 * float(after.mean()), "questions": len(test),
    }  # fmt: skip


def hh_rlhf_dpo(data: Path, out: Path, validate: bool, **learn: Any) -> dict[str, Any]:
    """How often the answer that people prefer rises further than the other, in percent, of pairs that aren't learnt from; by
    `validate` of others than those that are counted."""
    begun = time.monotonic()
    found = read_preferences(data / "hh_rlhf" / "harmless-base-test.jsonl.gz").examples
    rest, kept = held_out(found, 0.5)
    held, test = held_out(kept, 0.4)  # by the same hashes: a fifth of those that are kept from learning, and the others
    out.mkdir(parents=True, exist_ok=True)
    parts = {"train": rest[:PAIRS], "validation": held[:24], "test": held[24:] if validate else test[:TEST_PAIRS]}
    for name, examples in parts.items():
        lines = [{"messages": [BRIEF, *each.messages], "chosen": each.chosen, "rejected": each.rejected} for each in examples]
        (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    usual: dict[str, Any] = {
        "way": "lora", "adapt_layers": 8, "epochs": 1, "batch_size": 8, "learning_rate": 5e-4, "longest": 96,
        "answer_tokens": 8,
    }  # fmt: skip
    task = Prefer(DialogueRecipe(learn=DialogueSettings(**usual | learn)))
    task.train(BASE, out / "train.jsonl", out / "test.jsonl", out / "validation.jsonl", out / "run", restart=True)
    told = json.loads((out / "run" / "scores.json").read_text(encoding="utf-8"))
    best, score = max(each[0]["value"] for each in told["baselines"].values()), told["scores"][0]
    return {
        "task": "hh_rlhf_dpo", **{key: 100 * score[key] for key in ("value", "low", "high")}, "baseline": 100 * best,
        "goal": 50.0, "seconds": time.monotonic() - begun, "pairs": score["count"],
    }  # fmt: skip


FIGURES = {"trec_lora": trec_lora, "hh_rlhf_dpo": hh_rlhf_dpo}


def main() -> None:
    """Print the line of each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of data sets")
    parser.add_argument("--only", choices=sorted(FIGURES))
    parser.add_argument("--out", type=Path, default=Path("runs/bench-tasks"))
    parser.add_argument(
        "--validate", action="store_true", help="by held-out training examples instead of the test's: to choose"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of [learn], with --validate")
    given = parser.parse_args()
    learn = {key: json.loads(value) for key, _, value in (each.partition("=") for each in given.set)}
    for name in [given.only] if given.only else FIGURES:
        print(json.dumps(FIGURES[name](given.data, given.out / name, given.validate, **learn)), flush=True)


if __name__ == "__main__":
    main()
