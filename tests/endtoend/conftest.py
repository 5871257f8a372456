"""A folder with a recipe as a user would have it, and the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def textmill(starter: Callable[..., Any]) -> Callable[..., Any]:
    """`textmill(folder, "run", "recipe.toml")`, and where it is to be killed `kill=`, as tests/starter.py says."""

    def run(folder: Path, *words: str, kill: tuple[str, int, float, int] | None = None) -> Any:
        run = words[words.index("--out") + 1] if "--out" in words else "runs/recipe"
        return starter(folder, *words, run=str(folder / run), kill=kill)

    return run


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
