"""The examples run as they stand, on real text, and their notebooks are their twins."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
SAMPLES = ("wikipedia", "home-assistant")  # what they read
sys.path.append(str(ROOT / "tools"))

from make_notebooks import notebook_of  # noqa: E402


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_runs_in_few_steps(script: Path, real_sample: Callable[[str], Path], starter: Callable[..., Any]) -> None:
    for name in SAMPLES:
        real_sample(name)
    result = starter(ROOT, "--steps", 2, script=script)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_three_sentences_are_learnt_by_heart(starter: Callable[..., Any]) -> None:
    result = starter(ROOT, script=ROOT / "examples" / "attention_in_sixty_seconds.py")
    assert result.returncode == 0, result.stderr
    assert "all three by heart" in result.stdout and "the model computed the same" in result.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_its_notebook_is_the_same_and_ran_to_its_end(script: Path) -> None:
    notebook = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert cells == [(cell.cell_type, cell.source) for cell in notebook_of(script).cells], (
        f"run `python tools/make_notebooks.py {script.stem}` and commit what it writes"
    )
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
