"""What a finished run tells its user: where things are, what to expect of the model, and what to type next."""

from pathlib import Path

from .files import read_json
from .progress import format_seconds


def closing_words(recipe: Path, folder: Path) -> str:
    """The last lines of `textmill run`, with three commands that work as they stand."""
    training = read_json(folder / "manifest.json")["stages"]["train"]["summary"]

    minutes = max(1, round(2 * training["seconds"] / 60))
    return f"""
Trained for {format_seconds(training["seconds"])} on {training["choices"]["machine"]}.
Minutes of training give spelling, names and the tone of the text; not facts, nor sense beyond a sentence.

The model is in {folder / "model"}: transformers loads it as it is. What was dropped and why: {folder / "corpus"}.
Next:
  textmill generate {folder / "model"} "The history of"
      let it write on
  textmill run {recipe} --set train.time={minutes}m
      go on training, to {minutes} minutes in all
  textmill run {recipe} --set corpus.source=my-notes/ --out runs/my-notes
      start on your own text: a Wikipedia dump, a folder of .txt and .md files, a .jsonl
"""
