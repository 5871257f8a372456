"""A classifier's scores on texts that it hasn't seen, beside those of baselines that learnt from the same texts; and what its
page shows of them: confusions, the surest mistakes, how far its probabilities can be believed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluation.label_metrics import accuracy, calibration_bins, calibration_error, macro_f1, multi_label_f1
from ..evaluation.perturbations import under_perturbations
from ..score import Score
from .baselines import PENALTY, Labels, bag_for, linear_predictions, majority
from .classifier import Classifier, Prediction
from .examples import Split
from .judged import Judged
from .labelled import LabelledText
from .settings import BaselineSettings

SUREST = 50  # mistakes that are kept
MOST_CONFUSED = 20  # labels that a table of confusions holds


def judge(model: Classifier, split: Split[LabelledText], longest: int, settings: BaselineSettings) -> Judged:
    """Scores on the test texts or, where there are none, on those to validate on, which the weights were chosen by."""
    examples = split.test or split.validation
    several = model.task.config.kind == "multi_label"
    signature = {"data": split.hash, "test": split.test_hash if split.test else "validation", "texts": len(examples)}
    wanted = [example.labels for example in examples]
    found = model.predict([example.text for example in examples], longest)
    scores = _scores(wanted, [each.labels for each in found], several, signature)
    told = model.folder.lineage.get("task", {})
    calibrated = _calibration(model, wanted, found, float(told.get("temperature", 1.0)), signature)
    baselines, chosen = _baselines(split, settings, several, signature)
    held_out = model.predict([example.text for example in split.validation], longest)
    validated = _scores([each.labels for each in split.validation], [each.labels for each in held_out], several, signature)

    def right(answers: Sequence[Prediction]) -> list[bool]:
        return [set(each.labels) == set(own) for each, own in zip(answers, wanted, strict=True)]

    figure = "subset accuracy" if several else "accuracy"
    perturbed = under_perturbations(
        [example.text for example in examples],
        right(found),
        lambda texts: right(model.predict(texts, longest)),
        figure,
        signature,
    )
    return Judged(
        scores=[*scores, *calibrated["scores"]],
        baselines=baselines,
        perturbations=perturbed,
        more={
            "task": "classify",
            "judged_by": "test" if split.test else "validation",
            "data": [{"key": each.key, "values": dict(each.values)} for each in split.report.lines],
            "learnt": {"base": told.get("base"), "texts": len(split.training), "labels": list(model.task.config.labels)},
            "validation": [score.to_dict() for score in validated],
            "baseline_by_validation": chosen,
            "calibration": {"temperature": told.get("temperature"), "bins": calibrated["bins"]},
            "thresholds": list(model.task.config.thresholds),
            "confusions": None if several else _confusions(wanted, [each.labels for each in found]),
            "mistakes": _mistakes(examples, found),
        },
    )


def _scores(wanted: Sequence[Labels], found: Sequence[Labels], several: bool, signature: dict[str, Any]) -> list[Score]:
    """The chief one first."""
    right = [set(truth) == set(said) for truth, said in zip(wanted, found, strict=True)]
    classes = sorted({label for labels in [*wanted, *found] for label in labels})
    if several:
        truth, said = (np.array([[label in own for label in classes] for own in part]) for part in (wanted, found))
        return [*multi_label_f1(truth, said, signature), accuracy(right, signature, "subset accuracy")]
    fits = np.array([bool(labels) for labels in wanted])
    names = [*classes, *([""] if not all(wanted) or not all(found) else [])]
    truth_numbers, said_numbers = ([names.index(own[0] if own else "") for own in part] for part in (wanted, found))
    scores = [accuracy(right, signature), macro_f1(truth_numbers, said_numbers, len(names), signature)]
    if not fits.all() and fits.any():
        flags = np.array(right)
        scores.append(accuracy(flags[fits], signature, "accuracy in scope"))
        scores.append(accuracy(flags[~fits], signature, "recall out of scope"))
    return scores


def _calibration(
    model: Classifier, wanted: Sequence[Labels], found: Sequence[Prediction], temperature: float, signature: dict[str, Any]
) -> dict[str, Any]:
    """How far the probabilities can be believed, as they are and as they were before the temperature was folded in."""
    labels = model.task.config.labels
    likely = np.array([[each.probabilities[label] for label in labels] for each in found])
    truth = np.array([[label in own for label in labels] for own in wanted])
    several = model.task.config.kind == "multi_label"
    scores = []
    for name, sure in (("calibration error", likely), ("calibration error before", _before(likely, temperature, several))):
        if not several:
            surest = sure.argmax(axis=1)
            sure, flags = sure[np.arange(len(sure)), surest], truth[np.arange(len(sure)), surest]
        else:
            flags = truth
        scores.append(calibration_error(sure, flags, signature, name))
        if name == "calibration error":
            bins = calibration_bins(np.ravel(sure), np.ravel(flags)).tolist()
    return {"scores": scores, "bins": bins}


def _before(likely: np.ndarray, temperature: float, several: bool) -> np.ndarray:
    """The probabilities (texts, labels) without the temperature."""
    tiny = np.finfo(np.float64).tiny
    logs = np.log(np.maximum(likely, tiny)) * temperature
    others = np.log(np.maximum(1 - likely, tiny)) * temperature if several else None
    if others is not None:
        return np.asarray(1 / (1 + np.exp(others - logs)))
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _baselines(
    split: Split[LabelledText], settings: BaselineSettings, several: bool, signature: dict[str, Any]
) -> tuple[dict[str, list[Score]], dict[str, float]]:
    """Scores by names, the better linear model by the validation texts first; and what each reached there."""
    asked = [example.text for example in split.test or split.validation]
    wanted = [example.labels for example in split.test or split.validation]
    inner, outer = split.training, [*split.training, *(split.validation if split.test else [])]
    bag = bag_for([example.text for example in inner], settings)

    def said(name: str, seen: Sequence[LabelledText], texts: Sequence[str]) -> list[Labels]:
        labels = [example.labels for example in seen]
        return linear_predictions(name, bag, [example.text for example in seen], labels, texts, several)

    validation_texts = [example.text for example in split.validation]
    truth = [example.labels for example in split.validation]
    found = {name: said(name, inner, validation_texts) for name in PENALTY}
    validated = {name: _scores(truth, labels, several, signature)[0].value for name, labels in found.items()}
    ordered = sorted(PENALTY, key=lambda name: -validated[name])
    scores = {
        f"{name}, {bag.units}": _scores(wanted, said(name, outer, asked) if split.test else found[name], several, signature)
        for name in ordered
    }
    most = majority([example.labels for example in outer])
    scores["most frequent label"] = _scores(wanted, [most] * len(wanted), several, signature)
    return scores, validated


def _confusions(wanted: Sequence[Labels], found: Sequence[Labels]) -> dict[str, Any]:
    """How often each label was called each, for the most frequent ones; no label is null, the rest is left out and counted."""
    pairs = Counter((own[0] if own else None, said[0] if said else None) for own, said in zip(wanted, found, strict=True))
    frequent = Counter(label for pair, count in pairs.items() for label in pair for _ in range(count))
    shown = [label for label, _ in frequent.most_common(MOST_CONFUSED)]
    shown.sort(key=lambda label: (label is None, label or ""))
    table = [[pairs[truth, said] for said in shown] for truth in shown]
    return {"labels": shown, "counts": table, "left_out": len(wanted) - sum(map(sum, table))}


def _mistakes(examples: Sequence[LabelledText], found: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Texts whose labels were told wrong, the surest first."""
    wrong = [place for place, each in enumerate(found) if set(each.labels) != set(examples[place].labels)]
    surest = sorted(wrong, key=lambda place: -found[place].probability)[:SUREST]
    return [
        {
            "text": examples[place].text,
            "file": examples[place].file,
            "line": examples[place].line,
            "label": list(examples[place].labels),
            "said": list(found[place].labels),
            "probability": found[place].probability,
        }
        for place in surest
    ]
