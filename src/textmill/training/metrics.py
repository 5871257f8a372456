"""metrics.jsonl: one JSON object a line. A resumed run goes on in the same file.

Every line has `kind`, `step` (how many steps were done) and `seconds` (of training so far, setting up included). Then:

- `step`: `tokens` (targets so far), `loss` (mean nats of this batch, without what the recipe adds to it), `bits_per_byte` (the
  same, by the corpus's mean bytes a token; of an encoder it is `bits_per_masked_token`, of an encoder–decoder
  `bits_per_span_token`, here and below), `rate` (the schedule's factor), `learning_rate` (of the layers' matrices),
  `threads` (that it worked with), `gradient_norm` (before clipping; null where it isn't finite), `clipped`, `finite` (false:
  the step was skipped), `tokens_per_second` and `share_of_peak` (of this step alone);
- `validation`: `bits_per_byte` on held-out excerpts;
- `sample`: `text`, written by the model as it was;
- `weights`: at the end, `chosen` (last, best or averaged) and under the same name what each candidate reached on the excerpts.
"""

import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..files import write_text
from .settings import TrainSettings

FILE, TENSORBOARD = "metrics.jsonl", "tensorboard"


def refuse_missing_tensorboard(settings: TrainSettings) -> None:
    """Raise RecipeError where the recipe asks for TensorBoard and its package isn't there."""
    if settings.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise RecipeError(
            "train.tensorboard needs the package tensorboard, which isn't installed; "
            "pip install tensorboard, or leave train.tensorboard out: metrics.jsonl holds the same"
        )


@contextmanager
def metrics_writer(folder: Path, step: int, tensorboard: bool = False) -> Iterator[Callable[..., None]]:
    """Gives `record(kind, **values)`. What lies beyond `step` is dropped first: a resumed run writes it again."""
    path = folder / FILE
    kept = []
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as stream:  # a torn last line may end within a character
            kept = [line.rstrip("\n") + "\n" for line in stream if _is_kept(line, step)]
    write_text(path, "".join(kept))
    with ExitStack() as stack:
        stream = stack.enter_context(open(path, "a", encoding="utf-8", buffering=1))
        board = stack.enter_context(_board(folder / TENSORBOARD, step)) if tensorboard else None

        def record(kind: str, **values: Any) -> None:
            plain = {
                key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
            }
            stream.write(json.dumps({"kind": kind, **plain}, ensure_ascii=False) + "\n")
            if board is not None:
                board(kind, plain)

        yield record


@contextmanager
def _board(folder: Path, step: int) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Writes the numbers and the texts of each record for TensorBoard, under their names in metrics.jsonl."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step + 1) as writer:

        def show(kind: str, values: dict[str, Any]) -> None:
            for name, value in values.items():
                if isinstance(value, str):
                    writer.add_text(f"{kind}/{name}", value, values["step"])
                elif isinstance(value, int | float) and name != "step":
                    writer.add_scalar(f"{kind}/{name}", float(value), values["step"])

        yield show


def _is_kept(line: str, step: int) -> bool:
    try:
        record = json.loads(line)
        return record["step"] <= step and record["kind"] != "weights"  # those are chosen again at the end
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # torn by a power cut
