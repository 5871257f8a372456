"""The README's commands, run as they stand: the quickstart on a budget of twelve seconds, and what it says to type next."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.zh.md"]


def commands(readme: str) -> list[str]:
    """The lines of the page's shell blocks, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory, require) -> tuple[Path, str]:
    """`make quickstart` in the present environment, with twelve seconds for a small model instead of five minutes."""
    require("make")
    run = tmp_path_factory.mktemp("quickstart") / "run"
    small = "--set train.time=12s --set model.preset=0.5m --set tokenizer.vocabulary_size=2000"
    small += " --set evaluate.maximum_bytes=20000 --set evaluate.baseline_bytes=300000"
    command = [
        "make", "--no-print-directory", "-o", ".venv/.installed", "quickstart",
        f"BIN={Path(sys.executable).parent}", f"RUN_ARGUMENTS={small} --out {shlex.quote(str(run))}",
    ]  # fmt: skip
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    if "pip could not download" in result.stderr and not os.environ.get("CI"):
        pytest.skip("no package index can be reached, so there is no Wikipedia sample")
    assert result.returncode == 0, result.stdout + result.stderr
    return run, result.stdout


@pytest.mark.parametrize("readme", READMES)
def test_every_command_shown_is_one_that_is_run_here(readme: str) -> None:
    shown = commands(readme)
    assert shown[:2] == ["make quickstart", "make test"]
    known = re.compile(r"make (quickstart|test|lint|bench)( [A-Z_]+=\S+)*$|python3 tools/install\.py|\.venv/bin/textmill ")
    assert all(known.match(command) for command in shown), [c for c in shown if not known.match(c)]
    targets = subprocess.run(["make", "-qp"], cwd=ROOT, capture_output=True, text=True).stdout
    for command in shown:
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in targets


def test_quickstart_leaves_what_the_readme_promises(quickstart: tuple[Path, str]) -> None:
    run, output = quickstart
    assert {path.name for path in run.iterdir()} >= {
        "recipe.toml", "manifest.json", "corpus", "tokenizer", "tokens", "checkpoints", "metrics.jsonl", "model",
        "evaluation.json", "report.html",
    }  # fmt: skip
    report = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert {system["name"] for system in report["systems"]} == {"textmill", "7-gram", "xz"}
    assert all(sample["text"] for sample in report["samples"])
    assert "it writes:" in output and "of the machine's matrix peak" in output and "facts" in output
    spent = json.loads((run / "manifest.json").read_text())["stages"]["train"]["summary"]
    assert spent["steps"] > 1


def test_the_next_commands_work(quickstart: tuple[Path, str], starter: Callable[..., Any], tmp_path: Path) -> None:
    _, output = quickstart
    shown = output.rpartition("Next:")[2].splitlines()
    lines = [line.strip() for line in shown if line.startswith("  ") and not line.startswith("      ")]
    assert len(lines) == 4
    notes = tmp_path / "my-notes"
    notes.mkdir()
    for page in [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"]:
        (notes / page.name).write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    converse, generate, prolong, own = (shlex.split(line) for line in lines)
    assert converse[-2:] == ["chat", "sample:smollm2"]  # which tests/cli/test_transfer.py does
    assert own[-3:] == ["corpus.source=my-notes/", "--out", "runs/my-notes"]
    small = ["--set", "tokenizer.vocabulary_size=600", "--set", "model.preset=0.5m", "--set", "train.steps=2",
             "--set", "model.context_length=32"]  # fmt: skip
    own[1:3] = ["run", str(ROOT / own[2])]
    assert prolong[-1] == "train.time=24s"
    prolong[-1] = "train.time=13s"
    generate[0] = str(Path(sys.executable).parent / Path(generate[0]).name)
    result = subprocess.run(generate, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    for program, *words in (prolong, [*own, *small]):
        result = starter(tmp_path, *words)
        assert Path(program).name == "textmill" and result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"
    assert (tmp_path / "runs" / "my-notes" / "model" / "config.json").is_file()


def test_the_commands_on_a_finished_run_work(quickstart: tuple[Path, str], starter: Callable[..., Any]) -> None:
    run, _ = quickstart
    every = set[tuple[str, ...]]()
    for readme in READMES:
        shown = [tuple(shlex.split(command)) for command in commands(readme)]
        on_the_run = {words for words in shown if words[2:3] == ("runs/wikipedia-sample",)}
        assert {words[1] for words in on_the_run} == {"report", "chat", "generate", "evaluate", "inspect"}
        every |= on_the_run
    for _, verb, _, *others in sorted(every):
        result = starter(ROOT, verb, run, *others, typed="The\n")
        assert result.returncode == 0 and result.stdout, f"{verb} {others}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_somewhere(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (ROOT / target).exists(), target
