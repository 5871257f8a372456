"""What a finished run tells its user: where things are, what to expect of the model, and what to type next."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from .files import read_json
from .ledger import cost_line, total_cost
from .progress import format_seconds
from .training.settings import TrainSettings, seconds_of

PROMPT = "The history of"


def closing_words(recipe: Path, folder: Path, settings: TrainSettings) -> str:
    """The last lines of `textmill run`, with three commands that work as they stand."""
    manifest = read_json(folder / "manifest.json")
    training = manifest["stages"]["train"]["summary"]
    model, program = folder / "model", _program()
    go_on = [*program, "run", folder / "recipe.toml", "--out", folder, *_twice_the_limits(settings)]
    start = [*program, "run", recipe, "--set", "corpus.source=my-notes/", "--out", "runs/my-notes"]
    expectation = (
        "Minutes of training give spelling, names and the tone of the text; not facts, nor sense beyond a sentence.\n"
        if training["seconds"] < 3600
        else ""
    )
    return f"""
Trained for {format_seconds(training["seconds"])} on {training["machine"]}.
{cost_line(total_cost(manifest))}
{expectation}
The model is in {model}: transformers loads it as it is. What was dropped, and why: {folder / "corpus"}.
Next:
  {_command([*program, "generate", model, PROMPT])}
      let it write on
  {_command(go_on)}
      go on training: twice as long in all
  {_command(start)}
      start on your own text: a Wikipedia dump, a folder of .txt and .md files, a .jsonl
"""


def _program() -> list[str]:
    """How the user can call textmill: by its name where that is found, else as it was called now."""
    if shutil.which("textmill"):
        return ["textmill"]
    return [sys.executable, "-m", "textmill"] if Path(sys.argv[0]).name == "__main__.py" else [sys.argv[0]]


def _twice_the_limits(settings: TrainSettings) -> list[str]:
    limits = {"steps": settings.steps, "tokens": settings.tokens}
    words = [f"train.{name}={2 * value}" for name, value in limits.items() if value is not None]
    if settings.time is not None:
        seconds = 2 * seconds_of(settings.time)
        words.append(f"train.time={seconds / 60:g}m" if seconds >= 60 else f"train.time={seconds:g}s")
    return [part for word in words for part in ("--set", word)]


def _command(words: list[Any]) -> str:
    return shlex.join(map(str, words))
