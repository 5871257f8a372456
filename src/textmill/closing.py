"""What a finished run tells its user: where things are, what to expect of the model, and what to type next."""

import shutil
import sys
from pathlib import Path

from .files import read_json
from .formats.layouts import OWN
from .ledger import cost_line, total_cost
from .progress import format_seconds
from .recipe import Recipe
from .report import commands


def closing_words(recipe: Path, folder: Path, whole: Recipe) -> str:
    """The last lines of `textmill run`, with commands that work as they stand."""
    manifest = read_json(folder / "manifest.json")
    training = manifest["stages"]["train"]["summary"]
    prompts = [sample["prompt"] for sample in read_json(folder / "evaluation.json")["samples"]]
    prompt = next(filter(None, prompts), commands.PROMPT)
    fills = whole.model.family in commands.FILLING
    model, program = folder / "model", _program()
    expectation = (
        "Minutes of training give spelling, names and the tone of the text; not facts, nor sense beyond a sentence.\n"
        if training["seconds"] < 3600 and not fills
        else ""
    )
    start = (
        f"  {commands.start(program, recipe)}\n"
        "      start on your own text: a Wikipedia dump, a folder of .txt and .md files, a .jsonl\n"
        if commands.learns_samples(whole.corpus.source)
        else ""
    )
    stock = read_json(model / "config.json")["model_type"] != OWN.model_type
    holder = (
        "transformers loads it as it is" if stock else "no class of transformers holds its like, so textmill alone loads it"
    )
    return f"""
Trained for {format_seconds(training["seconds"])} on {training["machine"]}.
{cost_line(total_cost(manifest))}
{expectation}
The model is in {model}: {holder}. What was dropped, and why: {folder / "corpus"}.
All of it to look at, in a browser: {folder / "report.html"}
Next:
  {commands.converse(program)}
      converse with a real model of 135 million parameters, trained at length (93 MB, fetched once)
  {commands.try_out(program, folder, whole.model.family, prompt)}
      let yours {"fill in" if fills else "write on"}
  {commands.go_on(program, folder, whole.train)}
      go on training: twice as long in all
{start}"""


def _program() -> list[str]:
    """How the user can call this textmill: by its name where that finds it and no other one, else as it was called now."""
    found = shutil.which("textmill")
    if found and Path(found).resolve().parent == Path(sys.argv[0]).resolve().parent:
        return ["textmill"]
    return [sys.executable, "-m", "textmill"] if Path(sys.argv[0]).name == "__main__.py" else [sys.argv[0]]
