"""The real command on real text: a whole life, killed and resumed to the bit, prolonged, repeated, refused."""

import json
import os
import random
import signal
import subprocess
import sys
import time
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


@pytest.fixture
def place(tmp_path: Path, texts: list[str]) -> Path:
    """A folder with a recipe and its text, as a user would have it."""
    lines = [json.dumps({"id": str(n), "text": text[:3000]}) for n, text in enumerate(texts) if len(text) > 100]
    (tmp_path / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def textmill(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "textmill", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, encoding="utf-8")


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def losses(run: Path) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records if record["kind"] == "step"]


def test_a_whole_life_and_a_second_run_that_has_nothing_to_do(place: Path) -> None:
    first = textmill(place, "run", "recipe.toml")
    assert first.returncode == 0, first.stderr
    run = place / "runs" / "recipe"
    manifest = json.loads((run / "manifest.json").read_text())
    assert list(manifest["stages"]) == ["corpus", "tokenizer", "tokens", "train", "model", "evaluate", "report"]
    assert "Next:" in first.stdout and "xz" in first.stdout and "7-gram" in first.stdout
    scores = json.loads((run / "model" / "textmill.json").read_text())["scores"]
    assert [system["name"] for system in scores["systems"]] == ["textmill", "7-gram", "xz"]

    before = weights(run)
    second = textmill(place, "run", "recipe.toml")
    assert second.returncode == 0
    assert second.stdout.count("inputs unchanged") == 7
    assert weights(run) == before
    assert json.loads((run / "manifest.json").read_text()) == manifest

    # Text that changes is read anew; what doesn't depend on it isn't done again.
    third = textmill(place, "run", "recipe.toml", "--set", "evaluate.bootstrap_samples=300")
    assert third.returncode == 0
    assert third.stdout.count("inputs unchanged") == 5 and "evaluate: inputs changed" in third.stdout

    written = textmill(place, "generate", "runs/recipe/model", "The class", "--max-tokens", "20", "--seed", "3")
    assert written.returncode == 0 and written.stdout.startswith("The class")
    again = textmill(place, "generate", "runs/recipe/model", "The class", "--max-tokens", "20", "--seed", "3")
    assert again.stdout == written.stdout


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments_ends_with_the_bits_of_an_uninterrupted_run(place: Path, seed: int) -> None:
    assert textmill(place, "run", "recipe.toml", "--out", "whole", "--until", "model").returncode == 0
    chance = random.Random(seed)
    kills = sorted(chance.sample(range(2, 58), 4))
    for step in kills:
        process = subprocess.Popen(
            [sys.executable, "-m", "textmill", "run", "recipe.toml", "--out", "broken", "--until", "model"],
            cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        metrics = place / "broken" / "metrics.jsonl"
        while process.poll() is None and not (metrics.is_file() and f'"step": {step},' in metrics.read_text()):
            time.sleep(0.001)
        time.sleep(chance.random() * 0.02)
        process.kill()
        process.communicate()
    end = textmill(place, "run", "recipe.toml", "--out", "broken", "--until", "model")
    assert end.returncode == 0, end.stderr
    assert "Going on from step" in end.stdout
    assert losses(place / "broken") == losses(place / "whole")
    assert [step for step, _ in losses(place / "broken")] == list(range(1, 61))
    assert weights(place / "broken") == weights(place / "whole")
    assert not list((place / "broken").rglob("*.partial"))


def test_prolonged_is_the_same_as_long_from_the_start_and_a_longer_run_is_kept(place: Path) -> None:
    assert textmill(place, "run", "recipe.toml", "--out", "long", "--until", "model").returncode == 0
    short = textmill(place, "run", "recipe.toml", "--out", "grown", "--until", "model", "--set", "train.steps=30")
    assert short.returncode == 0
    grown = textmill(place, "run", "recipe.toml", "--out", "grown", "--until", "model")
    assert grown.returncode == 0 and "Going on from step 12 of 60" in grown.stdout
    assert losses(place / "grown") == losses(place / "long")
    assert weights(place / "grown") == weights(place / "long")
    shorter = textmill(place, "run", "recipe.toml", "--out", "grown", "--until", "model", "--set", "train.steps=30")
    assert shorter.returncode == 0 and "kept as it is" in shorter.stdout
    assert weights(place / "grown") == weights(place / "long")


def test_a_schedule_that_depends_on_the_length_is_prolonged_from_its_warm_up(place: Path) -> None:
    cosine = ["--until", "model", "--set", "train.schedule=cosine"]
    assert textmill(place, "run", "recipe.toml", "--out", "long", *cosine).returncode == 0
    assert textmill(place, "run", "recipe.toml", "--out", "grown", *cosine, "--set", "train.steps=20").returncode == 0
    grown = textmill(place, "run", "recipe.toml", "--out", "grown", *cosine)
    assert grown.returncode == 0 and "Going on from step 3 of 60" in grown.stdout
    assert losses(place / "grown") == losses(place / "long")
    assert weights(place / "grown") == weights(place / "long")


def test_interrupted_saves_and_says_how_to_go_on(place: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "textmill", "train", "recipe.toml", "--set", "train.steps=100000"],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = place / "runs" / "recipe" / "metrics.jsonl"
    while not (metrics.is_file() and '"step": 9,' in metrics.read_text()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    refused = textmill(place, "train", "recipe.toml")
    assert refused.returncode == 2 and "another textmill process" in refused.stderr
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "saved. Without --restart, `textmill run` goes on" in output and "Traceback" not in errors
    step = int(output.rpartition("Stopped at step ")[2].split()[0].replace(",", ""))
    kept = metrics.parent / "checkpoints" / f"step-{step:08d}" / "state.json"
    assert kept.is_file()
    # A shorter run can't pass through that checkpoint: it is refused, and the work stays.
    other = textmill(place, "train", "recipe.toml", "--set", "train.steps=100")
    assert other.returncode == 2 and f"stopped at step {step:,} of 100,000" in other.stderr
    assert kept.is_file()


def test_checkpoints_of_another_training_are_refused_and_survive(place: Path) -> None:
    assert textmill(place, "train", "recipe.toml", "--set", "train.steps=5").returncode == 0
    changed = textmill(place, "train", "recipe.toml", "--set", "model.width=48", "--set", "train.seed=1")
    assert changed.returncode == 2 and "Traceback" not in changed.stderr
    assert "model.width was 32 and is now 48" in changed.stderr and "train.seed was 0 and is now 1" in changed.stderr
    assert list((place / "runs" / "recipe" / "checkpoints").glob("step-*"))
    assert (
        textmill(place, "train", "recipe.toml", "--set", "model.width=48", "--set", "train.steps=5", "--restart").returncode
        == 0
    )


def test_a_damaged_newest_checkpoint_is_passed_over(place: Path) -> None:
    assert textmill(place, "run", "recipe.toml", "--out", "whole", "--until", "model").returncode == 0
    assert textmill(place, "run", "recipe.toml", "--out", "hurt", "--until", "model").returncode == 0
    newest = sorted((place / "hurt" / "checkpoints").glob("step-*"))[-1]
    file = newest / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    manifest = json.loads((place / "hurt" / "manifest.json").read_text())
    del manifest["stages"]["train"]
    (place / "hurt" / "manifest.json").write_text(json.dumps(manifest))
    again = textmill(place, "run", "recipe.toml", "--out", "hurt", "--until", "model")
    assert (
        again.returncode == 0
        and "step-00000060 is passed over" in again.stdout
        and "Going on from step 59 of 60" in again.stdout
    )
    assert weights(place / "hurt") == weights(place / "whole")


@pytest.mark.parametrize(
    "words, expected",
    [
        (["run", "nothing.toml"], "there is no recipe nothing.toml"),
        (["run", "recipe.toml", "--set", "train.stepz=3"], "did you mean 'steps'"),
        (["run", "recipe.toml", "--set", "corpus.source=nowhere.txt"], "nowhere.txt does not exist"),
        (["run", "recipe.toml", "--until", "tokenise"], "did you mean"),
        (["run", "recipe.toml", "--set", "tokenizer.vocabulary_size=60000"], "vocabulary_size"),
        (["run", "recipe.toml", "--set", "model.context_length=9000000"], "context"),
        (["generate", "nowhere", "x"], "is not a folder"),
        (["sample", "wikipeda"], "did you mean 'wikipedia'"),
        (["recipe", "trian"], "did you mean 'train'"),
        (["run", "recipe.toml", "--set", "train.time=1ms"], "train.time"),
    ],
)
def test_mistakes_end_with_code_2_and_a_way_out(place: Path, words: list[str], expected: str) -> None:
    result = textmill(place, *words)
    assert result.returncode == 2, result.stdout + result.stderr
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, textmill.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert not {"torch", "numpy", "pydantic", "tokenizers", "rich"} & set(loaded)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_write(place: Path) -> None:
    (place / "locked").mkdir(mode=0o500)
    result = textmill(place, "run", "recipe.toml", "--out", "locked/run")
    assert result.returncode == 2 and "cannot write" in result.stderr
