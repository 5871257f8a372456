"""What a model says of texts by its labels, as answers: vLLM's classification, and OpenAI's moderation."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from ..models.task import TaskConfig
from .errors import ApiError

NEUTRAL = ("safe", "neutral", "ok", "normal", "clean", "none")  # labels that flag nothing, whatever their case


def classification(name: str, task: TaskConfig, scores: Sequence[Sequence[float]], read: int) -> dict[str, Any]:
    """The answer of /v1/classify: for each text its likeliest label, null where one is chosen and none fits, the labels that
    hold, and all labels' probabilities, also by their names. A regression has numbers by their names, and neither of these."""
    data = []
    for index, row in enumerate(scores):
        told: dict[str, Any] = {"label": None, "labels": [], "probs": []}
        if task.kind != "regression":
            held = [task.labels[place] for place in task.said(row)]
            fits = bool(held) or task.kind == "multi_label"
            told = {"label": task.labels[row.index(max(row))] if fits else None, "labels": held, "probs": list(row)}
        data.append({"index": index, **told, "num_classes": len(row), "scores": dict(zip(task.labels, row))})
    return {
        "id": f"classify-{secrets.token_hex(12)}",
        "object": "list",
        "created": int(time.time()),
        "model": name,
        "data": data,
        "usage": {"prompt_tokens": read, "total_tokens": read, "completion_tokens": 0},
    }


def moderation(name: str, task: TaskConfig, scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The answer of /v1/moderations. Categories are the labels that aren't neutral. Where several labels may hold, one holds
    from its threshold on; where one is chosen, it is the likeliest. A text is flagged where a category holds."""
    results = []
    for row in scores:
        said = task.said(row)
        named = [(label, n in said, score) for n, (label, score) in enumerate(zip(task.labels, row)) if not _neutral(label)]
        results.append(
            {
                "flagged": any(hold for _, hold, _ in named),
                "categories": {label: hold for label, hold, _ in named},
                "category_scores": {label: score for label, _, score in named},
                "category_applied_input_types": {label: ["text"] for label, _, _ in named},
            }
        )
    return {"id": f"modr-{secrets.token_hex(12)}", "model": name, "results": results}


def moderates(task: TaskConfig) -> bool:
    """Whether what its labels say can flag a text: any of several may hold, or one is chosen and another one is neutral."""
    neutral = [_neutral(label) for label in task.labels]
    return not all(neutral) and (task.kind == "multi_label" or (task.kind == "sequence" and any(neutral)))


def refuse_moderation(name: str, task: TaskConfig) -> None:
    """Raise ApiError where `moderates` is false."""
    if moderates(task):
        return
    labels = ", ".join(task.labels)[:200]
    if task.kind == "sequence":
        why = f"chooses one label ({labels}), which can flag a text only where another is called {' or '.join(NEUTRAL)}"
    elif task.kind == "multi_label":
        why = f"has only labels that flag nothing ({labels})"
    else:
        why = f"gives numbers ({labels}), none of which flags a text"
    raise ApiError(400, f"{name} {why}; /v1/classify gives what it says", "model", "model_not_supported")


def _neutral(label: str) -> bool:
    return label.strip().lower() in NEUTRAL
