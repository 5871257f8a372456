"""README.md of a model that learnt a task: what it is for, what it learnt from, how good it is, how to ask it.

Its front matter is what the Hugging Face hub reads: https://huggingface.co/docs/hub/model-cards.
"""

import json
from typing import Any

from ..files import write_text
from ..formats.model_folder import ModelFolder, write_lineage
from ..score import Score
from .judged import Judged

FILE = "README.md"
PIPELINES = {"sequence": "text-classification", "multi_label": "text-classification"}
HUB_METRICS = {"accuracy": "accuracy", "macro F1": "f1", "micro F1": "f1", "subset accuracy": "accuracy"}
SHOWN_LABELS = 50


def write_model_card(folder: ModelFolder, judged: Judged) -> None:
    """Write the card into the model's folder, and its hash beside the other files'."""
    write_text(folder.path / FILE, model_card(folder, judged))
    write_lineage(folder.path, folder.lineage)


def model_card(folder: ModelFolder, judged: Judged) -> str:
    """The card's text."""
    assert folder.task is not None
    name, told, labels = folder.path.resolve().parent.name, folder.lineage.get("task", {}), folder.task.config.labels
    what = {"sequence": "one label, or none", "multi_label": "any of these labels"}[folder.task.config.kind]
    if not folder.task.config.thresholds and folder.task.config.kind == "sequence":
        what = "one of these labels"
    shown = ", ".join(f"`{label}`" for label in labels[:SHOWN_LABELS])
    more = f" and {len(labels) - SHOWN_LABELS:,} more" if len(labels) > SHOWN_LABELS else ""
    part = "test texts that weren't learnt from"
    if judged.more.get("judged_by") != "test":
        part = "validation texts, which its weights were chosen by: the figures flatter"
    chief = judged.scores[0]
    return "\n".join(
        [
            "---",
            *_front_matter(name, folder, judged),
            "---",
            "",
            f"# {name}",
            "",
            f"Gives a text {what}: {shown}{more}.",
            "",
            "## What it learnt from",
            "",
            f"{told.get('base')}; {judged.more['learnt']['texts']:,} labelled texts, whose hash is `{told.get('data')}`.",
            "What was found in them stands in the report beside the model.",
            "",
            "## How good it is",
            "",
            f"On {chief.count:,} {part}, with 95 % intervals:",
            "",
            f"| | {chief.name} | |",
            "|---|---|---|",
            _row("this model", chief),
            *(_row(name, scores[0]) for name, scores in judged.baselines.items()),
            "",
            *(f"- {score.name}: {_figure(score)}" for score in judged.scores[1:]),
            "",
            "## How to ask it",
            "",
            "```sh",
            f'textmill predict {name} "a text"',
            f"textmill serve {name}   # then POST /v1/classify",
            "```",
            "",
            "```python",
            "import textmill.tasks",
            "",
            f'model = textmill.tasks.Classifier.load("{name}")',
            'print(model("a text").label)',
            "```",
            "",
        ]
    )


def _figure(score: Score) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _row(name: str, score: Score) -> str:
    return f"| {name} | {score.value:.3f} | {score.low:.3f} to {score.high:.3f} |"


def _front_matter(name: str, folder: ModelFolder, judged: Judged) -> list[str]:
    """YAML, written as JSON's values, which are part of it."""
    assert folder.task is not None
    kind, base = PIPELINES[folder.task.config.kind], str(folder.lineage.get("task", {}).get("base"))
    metrics = [
        {"type": HUB_METRICS[score.name], "name": score.name, "value": round(score.value, 6)}
        for score in judged.scores
        if score.name in HUB_METRICS
    ]
    data = {"name": str(folder.lineage.get("task", {}).get("data")), "type": "own"}
    values: dict[str, Any] = {
        "library_name": "textmill",
        "pipeline_tag": kind,
        "tags": ["textmill", kind],
        "metrics": sorted({metric["type"] for metric in metrics}),
        "model-index": [{"name": name, "results": [{"task": {"type": kind}, "dataset": data, "metrics": metrics}]}],
    }
    if base.startswith("hf:"):
        values["base_model"] = base.removeprefix("hf:")
    return [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
