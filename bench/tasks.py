"""How well tasks are learnt from real data, beside baselines that learn from the same texts in the same run.

    python bench/tasks.py --data DIR [--only TASK]

DIR holds a folder for each data set, as bench/README.md lists them. What is learnt on is never judged by, and nothing is chosen
by the test texts. Prints a table of its own for each task, and one JSON line: task, value and its 95 % interval, the best
baseline, the goal, all in percent, and seconds.
"""

import argparse
import csv
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.stats

import tasks_language
from textmill.tasks import Classify
from textmill.tasks.labelled import Reading

MINILM = "sample:minilm"
TEXTS = Reading(encoding="latin-1")  # that of two of the files; ASCII in the others


@dataclass(frozen=True)
class Found:
    """What was reached, in percent, with its 95 % interval, and what the best baseline reached."""

    value: float
    low: float
    high: float
    baseline: float


@dataclass(frozen=True)
class Goal:
    """A figure to reach, in percent, and what measures it: the data's folder and an empty one -> what was found."""

    goal: float
    measure: Callable[[Path, Path], Found]


def main_score(scores: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Of a run's scores.json: the accuracy, and that of the best baseline."""
    accuracy = next(score for score in scores["scores"] if score["name"] == "accuracy")
    others = (score["value"] for found in scores["baselines"].values() for score in found if score["name"] == "accuracy")
    return accuracy, max(others)


def learnt(base: str | None, files: Sequence[Path | None], reading: Reading, out: Path) -> dict[str, Any]:
    """The scores of a classifier with textmill's defaults; `files`: training, test, validation."""
    data, test, validation = files
    assert data is not None
    Classify(reading=reading).train(base, data, test, validation, out)
    scores: dict[str, Any] = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    return scores


def given(folder: str, base: str | None, validation: str | None = None) -> Callable[[Path, Path], Found]:
    """On a data set whose test texts are a file of their own."""

    def measure(data: Path, out: Path) -> Found:
        held_out = None if validation is None else data / folder / validation
        scores = learnt(base, (data / folder / "train.txt", data / folder / "test.txt", held_out), TEXTS, out)
        accuracy, baseline = main_score(scores)
        return Found(*(100 * accuracy[key] for key in ("value", "low", "high")), 100 * baseline)

    return measure


def folded(read: Callable[[Path], list[dict[str, str]]], folds: int) -> Callable[[Path, Path], Found]:
    """By cross-validation, from scratch: each text is judged once, by a model that was learnt from the other folds."""

    def measure(data: Path, out: Path) -> Found:
        examples = read(data)
        random.Random(0).shuffle(examples)
        values, baselines = [], []
        for fold in range(folds):
            parts = {"train": [e for n, e in enumerate(examples) if n % folds != fold], "test": examples[fold::folds]}
            for name, part in parts.items():
                lines = (json.dumps(example, ensure_ascii=False) + "\n" for example in part)
                (out / f"{name}{fold}.jsonl").write_text("".join(lines), encoding="utf-8")
            files = out / f"train{fold}.jsonl", out / f"test{fold}.jsonl", None
            accuracy, baseline = main_score(learnt(None, files, Reading(), out / f"fold{fold}"))
            values.append(100 * accuracy["value"])
            baselines.append(100 * baseline)
        low, high = interval_of_folds(values)
        return Found(statistics.mean(values), low, high, statistics.mean(baselines))

    return measure


def interval_of_folds(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of k folds, by Student's t. Their variance counts 1/k + 1/(k - 1) times: models of
    different folds have learnt from mostly the same texts (Nadeau & Bengio 2003)."""
    folds, mean = len(values), statistics.mean(values)
    spread = math.sqrt(statistics.variance(values) * (1 / folds + 1 / (folds - 1)))
    width = float(scipy.stats.t.ppf(0.975, folds - 1)) * spread
    return mean - width, mean + width


def movie_reviews(data: Path) -> list[dict[str, str]]:
    """MR's sentences."""
    lines = (data / "mr" / "rt-polarity.txt").read_text(encoding="latin-1").split("\n")
    parts = (line.strip().partition(" ") for line in lines if line.strip())
    return [{"text": text, "label": label} for label, _, text in parts]


def hotel_reviews(data: Path) -> list[dict[str, str]]:
    """ChnSentiCorp's reviews, the one that is empty left out."""
    with (data / "chnsenticorp" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8", newline="") as stream:
        return [{"text": row["review"], "label": row["label"]} for row in csv.DictReader(stream) if row["review"].strip()]


def of_a_language_model(figure: Callable[..., dict[str, Any]]) -> Callable[[Path, Path], Found]:
    """A figure of tasks_language.py."""

    def measure(data: Path, out: Path) -> Found:
        found = figure(data, out, False)
        return Found(*(found[key] for key in ("value", "low", "high", "baseline")))

    return measure


TASKS = {
    "trec": Goal(92, given("trec", None)),
    "sst2": Goal(82, given("sst2", None, "dev.txt")),
    "mr": Goal(79, folded(movie_reviews, 10)),
    "chnsenticorp": Goal(91, folded(hotel_reviews, 5)),
    "trec from minilm": Goal(95, given("trec", MINILM)),
    "sst2 from minilm": Goal(87, given("sst2", MINILM, "dev.txt")),
    "trec: gain of smollm2 with lora": Goal(10, of_a_language_model(tasks_language.trec_lora)),
    "hh_rlhf: preference of smollm2": Goal(50, of_a_language_model(tasks_language.hh_rlhf_dpo)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--only", choices=list(TASKS), help="one task instead of all")
    options = parser.parse_args()
    for name in [options.only] if options.only else TASKS:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="textmill-") as out:
            found = TASKS[name].measure(options.data, Path(out))
        seconds = round(time.perf_counter() - started, 1)
        figures = {key: round(value, 2) for key, value in vars(found).items()}
        print(json.dumps({"task": name, **figures, "goal": TASKS[name].goal, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
