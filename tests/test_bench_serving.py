"""The benches of the server work as they stand, on a tiny model: every answer ends rightly, and the last line is what readers
of it rely on. What they measure here means nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textmill.formats.model_folder import save_model_folder
from textmill.tokens.tokenizer import Tokenizer

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture(scope="module")
def model(make_decoder: Callable, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "tiny"
    size = {"vocabulary_size": tokenizer.vocabulary_size, "context_length": 4096}
    save_model_folder(folder, make_decoder(**size), tokenizer, {})
    return folder


def last_line(program: str, *words: object) -> dict[str, Any]:
    """What a bench's last line holds; it must end with 0."""
    command = [sys.executable, str(BENCH / program), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_under_load_every_answer_ends_rightly(model: Path) -> None:
    words = ["--model", model, "--streams", 3, "--seconds", 1, "--tokens", 8, "--rounds", 1, "--loads", "0.5", "--peers", ""]
    told = last_line("serve_load.py", *words)
    assert told["bench"] == "serve_load" and told["lost"] == 0 and told["not_run"] == {} and told["times_llama_cpp"] is None
    for found in (told["closed"]["textmill"], told["open"]["textmill"]["0.5"]):
        assert found["answers"] > 0 and found["lost"] == 0 and found["tokens_per_second"] > 0
        for times in (found["first_token_ms"], found["between_tokens_ms"]):
            assert 0 <= times["p50"] <= times["p99"]


def test_a_crowd_that_comes_and_goes_leaves_nothing_behind(model: Path) -> None:
    words = ["--model", model, "--streams", 20, "--seconds", 2, "--tokens", 8, "--rows", 3, "--queue", 4]
    told = last_line("serve_soak.py", *words)
    assert told["bench"] == "serve_soak" and told["lost"] == 0 and told["holds"]
    assert told["finished"] and told["left"] and told["refused"], "each end must have happened"
    assert told["rows"] == {"all": 3, "free": 3, "open": 0}
