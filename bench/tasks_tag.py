"""How well entities are found in real data: Chinese characters of CVs from scratch, English words of social media on a small
encoder and from scratch. One JSON line each, as bench/tasks.py has it.

    python bench/tasks_tag.py --data DIR [--only resume|wnut17|wnut17_scratch] [--out FOLDER]

Settings and weights were chosen by the validation files, never by the test files that are counted here (docs/experiments.md).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from textmill.models.settings import ModelSettings
from textmill.tasks import Tag
from textmill.tasks.settings import LearnSettings, TaskRecipe
from textmill.tokens.settings import TokenizerSettings

MINILM = "sample:minilm"
FROM_SCRATCH = LearnSettings(crf=True, epochs=12, batch_size=16, learning_rate=0.005, dropout=0.5)
RESUME = TaskRecipe(learn=FROM_SCRATCH, model=ModelSettings(architecture="bilstm", layers=1, width=256, pair_rows=32_768))
WNUT17 = TaskRecipe(learn=LearnSettings(epochs=4, batch_size=16, learning_rate=2e-4))
WNUT17_SCRATCH = TaskRecipe(
    learn=LearnSettings(crf=True, epochs=8, batch_size=16, learning_rate=0.01, dropout=0.3),
    tokenizer=TokenizerSettings(kind="bpe", vocabulary_size=1024),
    model=ModelSettings(architecture="bilstm", layers=1, width=192),
)
TASKS: dict[str, tuple[TaskRecipe, str | None, str, float | None]] = {  # recipe, base, files, goal
    "resume": (RESUME, None, "resume_ner/{}.char.bmes", 94),
    "wnut17": (WNUT17, MINILM, "wnut17/{}.conll", 38),
    "wnut17_scratch": (WNUT17_SCRATCH, None, "wnut17/{}.conll", None),
}


def measured(name: str, data: Path, out: Path) -> dict[str, Any]:
    """F1 over whole entities of the test file, in percent, beside the dictionary of the training entities."""
    recipe, base, files, goal = TASKS[name]
    begun = time.monotonic()
    train, validation, test = (data / files.format(part) for part in ("train", "dev", "test"))
    Tag(recipe).train(base, train, test, validation, out / name)
    scores = json.loads((out / name / "scores.json").read_text(encoding="utf-8"))
    f1 = {key: round(100 * scores["scores"][0][key], 1) for key in ("value", "low", "high")}
    (baseline,) = (found[0]["value"] for found in scores["baselines"].values())
    seconds = round(time.monotonic() - begun, 1)
    return {"task": name, **f1, "baseline": round(100 * baseline, 1), "goal": goal, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--only", choices=list(TASKS), help="one task instead of all")
    parser.add_argument("--out", type=Path, help="where to leave models and scores; default: nowhere")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="textmill-") as folder:
        for name in [options.only] if options.only else TASKS:
            print(json.dumps(measured(name, options.data, options.out or Path(folder))), flush=True)


if __name__ == "__main__":
    main()
