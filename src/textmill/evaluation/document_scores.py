"""scores.jsonl: what each document cost under each system, one JSON object a line.

An evaluation's figures are sums over these; with them other systems can be compared over the same documents later.
"""

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..files import atomic_file
from .bits_per_byte import Evaluation
from .masked import MaskedScore
from .masked_evaluation import MaskedEvaluation
from .scorers import DocumentScore

FILE = "scores.jsonl"


def write_document_scores(folder: Path, evaluation: Evaluation | MaskedEvaluation) -> None:
    """Write every system's documents into a run folder."""
    with atomic_file(folder / FILE, "w") as stream:
        for number, name in enumerate(evaluation.names):
            for score in evaluation.documents[number]:
                stream.write(json.dumps({"system": name, **asdict(score)}, ensure_ascii=False) + "\n")


def read_document_scores(folder: Path) -> dict[str, list[DocumentScore] | list[MaskedScore]]:
    """What was written, by the systems' names. Raises RunError where the file isn't there, or isn't as it was written."""
    path = folder / FILE
    systems: dict[str, list[Any]] = defaultdict(list)
    try:
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                values = json.loads(line)
                kind = MaskedScore if "right" in values else DocumentScore
                systems[values.pop("system")].append(kind(**values))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} can't be read ({error}); delete it, and run again to have it made anew") from error
    return dict(systems)
