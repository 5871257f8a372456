"""A real run of a tiny recipe, on text that does its best to break a page: killed on its way, looked at, then finished."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from textmill.recipe import load_recipe
from textmill.report.page import write_report
from textmill.run import run_recipe

from ..commands import Starter

HOSTILE = "<script>alert(1)</script>\u202egpj.exe\u0007</pre></details>{{ 7 * 191 }}&amp;"
RECIPE = """
[corpus]
source = "text.jsonl"
validation_fraction = 0.2

[tokenizer]
vocabulary_size = 400

[model]
preset = "0.5m"
layers = 1
width = 32
head_dim = 16
context_length = 32

[train]
steps = 30
batch_size = 4
checkpoint_steps = 5
warmup_steps = 3
validations = 3
sample_prompt = "The <img src=x onerror=alert(2)> "
threads = 1
dtype = "float32"
attention = "fused"
micro_batch = 4
compile = "off"

[evaluate]
maximum_bytes = 20000
bootstrap_samples = 200
prompts = ["", "<b>bold</b> \u2067"]
"""


@dataclass(frozen=True)
class Pages:
    """A run folder, its page after a kill in training, and its page when it was finished."""

    run: Path
    killed: str
    finished: str


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory, texts: list[str], starter: Starter) -> Pages:
    place = tmp_path_factory.mktemp("report")
    documents = [{"title": f"{number} {HOSTILE}", "text": text[:2000]} for number, text in enumerate(texts)]
    documents[0]["text"] = f"{HOSTILE}\n{documents[0]['text']}"
    documents += [{"title": f"dropped {HOSTILE}", "text": "too short"}, {"title": "twice", "text": texts[5][:2000]}]
    (place / "text.jsonl").write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")
    (place / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    run = place / "run <b>&"
    process = starter.leave(place, "run", "recipe.toml", "--set", "train.steps=100000", "--out", run)
    process.until((run / "checkpoints" / "step-00000005").is_dir)
    running = (write_report(run, "en")).read_text(encoding="utf-8")
    assert process.end(getattr(signal, "SIGKILL", signal.SIGTERM)) != 0  # on Windows SIGTERM is no less
    assert "Still being trained" in running
    killed = write_report(run, "en").read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("LC_ALL", "zh_CN.UTF-8")
        run_recipe(load_recipe(place / "recipe.toml", []), run, restart=True)
    return Pages(run, killed, (run / "report.html").read_text(encoding="utf-8"))
