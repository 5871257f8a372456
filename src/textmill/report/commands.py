"""Commands that a reader can type next, as they stand."""

import shlex
from pathlib import Path
from typing import Any

from ..tokens.special_tokens import MASK
from ..training.settings import TrainSettings, seconds_of

PROMPT = "The history of"
MASKED = f"The history of the {MASK} is long."
FILLING = ("encoder", "encoder-decoder")  # families that fill in what is missing


def generate(program: list[str], folder: Path, prompt: str = PROMPT) -> str:
    """Let the model of a run write on."""
    return command([*program, "generate", folder / "model", prompt])


def converse(program: list[str]) -> str:
    """Converse with the small real model that comes as a sample."""
    return command([*program, "chat", "sample:smollm2"])


def try_out(program: list[str], folder: Path, family: str, prompt: str = PROMPT) -> str:
    """What a model of that family does first."""
    return fill(program, folder) if family in FILLING else generate(program, folder, prompt)


def fill(program: list[str], folder: Path, text: str = MASKED) -> str:
    """Let the model of a run guess what is missing from a text."""
    return command([*program, "fill", folder / "model", text])


def go_on(program: list[str], folder: Path, settings: TrainSettings | None = None) -> str:
    """Finish a run; with `settings`, prolong it: twice as long in all."""
    return command(
        [*program, "run", folder / "recipe.toml", "--out", folder, *(_twice_the_limits(settings) if settings else [])]
    )


def learns_samples(source: str | list[str]) -> bool:
    """Whether a corpus's source is none of the reader's own, so that they may want to be told how to take theirs."""
    return all(one.startswith("sample:") for one in ([source] if isinstance(source, str) else source))


def start(program: list[str], recipe: Path) -> str:
    """Begin a life like this one on one's own text."""
    return command([*program, "run", recipe, "--set", "corpus.source=my-notes/", "--out", "runs/my-notes"])


def _twice_the_limits(settings: TrainSettings) -> list[str]:
    limits = {"steps": settings.steps, "tokens": settings.tokens}
    words = [f"train.{name}={2 * value}" for name, value in limits.items() if value is not None]
    if settings.time is not None:
        seconds = 2 * seconds_of(settings.time)
        words.append(f"train.time={seconds:g}s" if seconds % 60 else f"train.time={seconds / 60:g}m")
    return [part for word in words for part in ("--set", word)]


def command(words: list[Any]) -> str:
    """The words as a shell takes them."""
    return shlex.join(map(str, words))
