"""metrics.jsonl: one JSON object a line for each step, validation and sample. A resumed run goes on in the same file."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files import write_text

FILE = "metrics.jsonl"


@contextmanager
def metrics_writer(folder: Path, step: int) -> Iterator[Callable[..., None]]:
    """Gives `record(kind, **values)`. What lies beyond `step` is dropped first: a resumed run writes it again."""
    path = folder / FILE
    kept = []
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as stream:  # a torn last line may end within a character
            kept = [line for line in stream if _step_of(line) <= step]
    write_text(path, "".join(kept))
    with open(path, "a", encoding="utf-8", buffering=1) as stream:

        def record(kind: str, **values: Any) -> None:
            stream.write(json.dumps({"kind": kind, **values}, ensure_ascii=False) + "\n")

        yield record


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")  # torn by a power cut
