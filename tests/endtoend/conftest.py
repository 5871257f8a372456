"""A folder with a recipe as a user would have it, and the command line, started sooner than by a new Python each time."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# A model of a few thousand weights, and every choice of kernels made, so that two runs can be compared to the bit.
RECIPE = """
[corpus]
source = "text.jsonl"
validation_fraction = 0.2

[tokenizer]
vocabulary_size = 400

[model]
preset = "0.5m"
layers = 2
width = 32
head_dim = 16
context_length = 32

[train]
steps = 60
batch_size = 8
checkpoint_steps = 7
warmup_steps = 3
dropout = 0.1
validations = 2
threads = 1
dtype = "float32"
attention = "fused"
micro_batch = 4
compile = "off"

[evaluate]
maximum_bytes = 20000
bootstrap_samples = 200
prompts = ["The class"]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended. `changes`: how many changes of files each stage had, where it came to its end."""

    returncode: int
    stdout: str
    stderr: str
    changes: dict[str, int] = field(default_factory=dict)


Command = Callable[..., Ended]


class Starter:
    """Runs `textmill WORDS` in a folder, by tests/endtoend/starter.py where the system can fork, else by a new Python."""

    def __init__(self, scratch: Path):
        self.output, self.errors = scratch / "output", scratch / "errors"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("starter.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip

    def __call__(self, folder: Path, *words: str, kill: tuple[str, int, float, int] | None = None) -> Ended:
        run = words[words.index("--out") + 1] if "--out" in words else "runs/recipe"
        request = {
            "words": words, "folder": str(folder), "output": str(self.output), "errors": str(self.errors),
            "run": str(folder / run), "kill": kill,
        }  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        output, errors = (path.read_text(encoding="utf-8", errors="replace") for path in (self.output, self.errors))
        return Ended(answer["status"], output, errors, answer["changes"])

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="session")
def textmill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`textmill(folder, "run", "recipe.toml")`."""
    if not hasattr(os, "fork"):
        yield start_python
        return
    starter = Starter(tmp_path_factory.mktemp("starter"))
    yield starter
    starter.close()


def start_python(folder: Path, *words: str) -> Ended:
    """The same, by a new Python."""
    command = [sys.executable, "-m", "textmill", *words]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="session")
def make_place(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Callable[[], Path]:
    """Makes folders with a recipe and its text, as a user would have them."""

    def make() -> Path:
        place = tmp_path_factory.mktemp("place")
        lines = [json.dumps({"id": str(n), "text": text[:3000]}) for n, text in enumerate(texts) if len(text) > 100]
        (place / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (place / "recipe.toml").write_text(RECIPE)
        return place

    return make


@pytest.fixture
def place(make_place: Callable[[], Path]) -> Path:
    return make_place()
