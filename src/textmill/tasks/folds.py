"""Cross-validation: every text is judged once, by a model that hasn't seen it, where there is no test file or too few texts.

The texts are dealt out by label, so that each fold has the same mixture (Kohavi 1995); texts that read alike stay together. A
fold is a training of its own in fold-1, fold-2 …, so a stopped cross-validation goes on with the fold it was in.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError, TaskError
from ..files import fingerprint, read_json, write_json
from ..score import Score
from .examples import DataReport, Example, Split, held_out, normal

FILE = "folds.json"  # which cross-validation a folder holds
NORMAL_WIDTH = 2 * 1.959964  # standard deviations between the bounds of a 95 % interval


def cross_validate(
    task: Any,
    base: str | Path | None,
    data: str | Path,
    folds: int,
    validation: str | Path | None = None,
    out: str | Path = "runs/folds",
    restart: bool = False,
) -> list[Score]:
    """The task's scores over all texts of `data`, and in `out`/scores.json each fold's and the baselines', too. No model of the
    whole is left: it would be another one than those that were judged.

    Raises TaskError for data or a number of folds that can't be used, RunError where the folder holds another one's folds.
    """
    learn, out = task.recipe.learn, Path(out)
    read = task.read(data, validation=validation)
    print(read.report)
    examples = read.training if validation else [*read.training, *read.validation]
    examples = sorted(examples, key=lambda example: example.line)
    dealt = deal(examples, folds, learn.seed)
    _begin(out, {"recipe": task.recipe.model_dump(mode="json"), "base": str(base), "data": read.hash, "folds": folds}, restart)
    told = []
    for number in range(folds):
        print(f"Fold {number + 1} of {folds}")
        folder, report = out / f"fold-{number + 1}", DataReport(())
        if not (folder / "scores.json").is_file() or restart:
            rest = [example for example, fold in zip(examples, dealt, strict=True) if fold != number]
            test = [example for example, fold in zip(examples, dealt, strict=True) if fold == number]
            kept, out_of_it = (rest, read.validation) if validation else held_out(rest, learn.validation)
            if not kept or not out_of_it:
                raise TaskError(
                    f"{data}: too few texts for {folds} folds: fold {number + 1} has {len(kept)} to learn from, "
                    f"{len(out_of_it)} to validate on; give fewer folds, a larger learn.validation or --validation"
                )
            task.learn(base, Split(kept, out_of_it, test, report), folder, restart)
        told.append(read_json(folder / "scores.json"))
    scores = pooled([fold["scores"] for fold in told])
    baselines = {
        name: pooled([fold["baselines"][name] for fold in told])
        for name in told[0]["baselines"]
        if all(name in fold["baselines"] for fold in told)
    }
    written = {"scores": scores, "baselines": baselines}
    write_json(
        out / "scores.json",
        {
            "scores": [score.to_dict() for score in scores],
            "baselines": {name: [score.to_dict() for score in found] for name, found in baselines.items()},
            "folds": [{key: fold[key] for key in written} for fold in told],
        },
    )
    print(_table(scores, baselines, [fold["scores"] for fold in told]))
    return scores


def deal(examples: Sequence[Example], folds: int, seed: int) -> list[int]:
    """The fold of each example. Raises TaskError where there are fewer different texts than folds, or only one fold."""
    alike: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        alike.setdefault(normal(example.text), []).append(place)
    if not 2 <= folds <= len(alike):
        raise TaskError(f"--folds {folds}: write 2 or more, and at most as many as there are different texts, {len(alike):,}")

    def order(text: str) -> tuple[list[str], bytes]:
        return sorted(set(examples[alike[text][0]].labels)), hashlib.sha256(f"{seed} {text}".encode()).digest()

    found = [0] * len(examples)
    for number, text in enumerate(sorted(alike, key=order)):
        for place in alike[text]:
            found[place] = number % folds
    return found


def pooled(folds: Sequence[Sequence[dict[str, Any]]]) -> list[Score]:
    """Each score over all folds: their mean, weighed by their texts, which for a share of texts is the share of all. The
    interval follows from the folds' own, as that of a mean of independent means does. What only some folds have, such as the F1
    of a kind that is in few sentences, is in theirs alone."""
    scores = []
    named = [{score["name"]: score for score in fold} for fold in folds]
    for name in (name for name in named[0] if all(name in fold for fold in named)):
        alike = [fold[name] for fold in named]
        counts = np.array([score["count"] for score in alike], dtype=np.float64)
        shares = counts / counts.sum()
        value = float(shares @ [score["value"] for score in alike])
        deviations = np.array([score["high"] - score["low"] for score in alike]) / NORMAL_WIDTH
        reach = NORMAL_WIDTH / 2 * math.sqrt(float((shares * deviations) @ (shares * deviations)))
        signature = {**alike[0]["signature"], "test": fingerprint([score["signature"].get("test") for score in alike])[:12]}
        signature |= {"folds": len(folds), "texts": int(counts.sum())}
        low = max(value - reach, min(score["low"] for score in alike))  # a share isn't above 1
        high = min(value + reach, max(score["high"] for score in alike))
        scores.append(Score(name, value, low, high, int(counts.sum()), alike[0]["unit"], signature))
    return scores


def _begin(out: Path, identity: dict[str, Any], restart: bool) -> None:
    """Note which cross-validation this folder holds. Raises RunError where it is another one."""
    path, identity = out / FILE, {"identity": fingerprint(identity), **identity}
    if path.is_file() and not restart and read_json(path)["identity"] != identity["identity"]:
        raise RunError(
            f"{out} holds the folds of other data or settings; give another --out, or throw them away with --restart"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, identity)


def _table(scores: Sequence[Score], baselines: dict[str, list[Score]], folds: Sequence[Sequence[dict[str, Any]]]) -> str:
    values = [float(fold[0]["value"]) for fold in folds]
    rows = [("textmill", scores[0]), *((name, found[0]) for name, found in baselines.items())]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            f"{scores[0].name} on {scores[0].count:,} texts in {len(folds)} folds",
            *(f"  {name:<{width}}  {score}" for name, score in rows),
            f"  by fold: {', '.join(f'{value:.3f}' for value in values)}; standard deviation {np.std(values, ddof=1):.3f}",
            *(f"  {score.name} {score}" for score in scores[1:]),
        ]
    )
