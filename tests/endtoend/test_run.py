"""The real command on real text: a whole life, killed and resumed to the bit, prolonged, repeated, refused."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textmill.evaluation.document_scores import read_document_scores

Command = Callable[..., Any]
SHORT = ["--set", "train.steps=15", "--set", "evaluate.maximum_bytes=4000", "--set", "evaluate.baseline_bytes=20000"]


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def losses(run: Path) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records if record["kind"] == "step"]


def test_a_whole_life_and_a_second_run_that_has_nothing_to_do(place: Path, textmill: Command) -> None:
    first = textmill(place, "run", "recipe.toml")
    assert first.returncode == 0, first.stderr
    run = place / "runs" / "recipe"
    manifest = json.loads((run / "manifest.json").read_text())
    assert list(manifest["stages"]) == ["corpus", "tokenizer", "tokens", "train", "model", "evaluate", "report"]
    assert "Next:" in first.stdout and "xz" in first.stdout and "7-gram" in first.stdout
    scores = json.loads((run / "model" / "textmill.json").read_text())["scores"]
    assert [system["name"] for system in scores["systems"]] == ["textmill", "7-gram", "xz"]
    for system in scores["systems"]:  # each figure is the sum over its documents
        documents = read_document_scores(run)[system["name"]]
        bits = sum(score.nats for score in documents) / math.log(2)
        assert bits / sum(score.bytes for score in documents) == pytest.approx(system["bits_per_byte"]["value"])
        assert len(documents) == system["bits_per_byte"]["count"]
    assert manifest["stages"]["evaluate"]["summary"]["scoring_seconds"].keys() == read_document_scores(run).keys()

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


def test_prolonged_is_the_same_as_long_from_the_start_and_a_longer_run_is_kept(place: Path, textmill: Command) -> None:
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


def test_a_schedule_that_depends_on_the_length_is_prolonged_from_its_warm_up(place: Path, textmill: Command) -> None:
    cosine = ["--until", "model", "--set", "train.schedule=cosine"]
    assert textmill(place, "run", "recipe.toml", "--out", "long", *cosine).returncode == 0
    assert textmill(place, "run", "recipe.toml", "--out", "grown", *cosine, "--set", "train.steps=20").returncode == 0
    grown = textmill(place, "run", "recipe.toml", "--out", "grown", *cosine)
    assert grown.returncode == 0 and "Going on from step 3 of 60" in grown.stdout
    assert losses(place / "grown") == losses(place / "long")
    assert weights(place / "grown") == weights(place / "long")


def test_interrupted_saves_and_says_how_to_go_on(place: Path, textmill: Command) -> None:
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
    other = textmill(place, "train", "recipe.toml", "--set", "train.steps=10")
    assert other.returncode == 2 and f"stopped at step {step:,} of 100,000" in other.stderr
    assert kept.is_file()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the moment is found by tests/starter.py, which forks")
def test_every_stage_ends_in_an_orderly_way_when_it_is_asked_to(place: Path, textmill: Command) -> None:
    for stage in ("corpus", "tokenizer", "tokens", "train", "model", "evaluate"):
        number, code = (signal.SIGINT, 130) if stage in ("corpus", "train", "model") else (signal.SIGTERM, 143)
        ended = textmill(place, "run", "recipe.toml", *SHORT, kill=(stage, 5, 0, number))
        assert ended.returncode == code, (stage, ended)
        assert f"Stopped in `{stage}`. The same command goes on" in ended.stdout
        assert "Traceback" not in ended.stderr and not ended.stderr.strip(), ended.stderr
        assert not list((place / "runs").rglob(".*.partial"))
    assert textmill(place, "run", "recipe.toml", *SHORT).returncode == 0


def test_checkpoints_of_another_training_are_refused_and_survive(place: Path, textmill: Command) -> None:
    assert textmill(place, "train", "recipe.toml", "--set", "train.steps=5").returncode == 0
    changed = textmill(place, "train", "recipe.toml", "--set", "model.width=48", "--set", "train.seed=1")
    assert changed.returncode == 2 and "Traceback" not in changed.stderr
    assert "model.width was 32 and is now 48" in changed.stderr and "train.seed was 0 and is now 1" in changed.stderr
    assert list((place / "runs" / "recipe" / "checkpoints").glob("step-*"))
    assert (
        textmill(place, "train", "recipe.toml", "--set", "model.width=48", "--set", "train.steps=5", "--restart").returncode
        == 0
    )


def test_what_is_damaged_is_noticed_said_and_made_again_with_the_same_bits(place: Path, textmill: Command) -> None:
    """Each stage's output damaged in turn, and the next stage to be done again, which finds out."""
    assert textmill(place, "run", "recipe.toml", "--out", "run", *SHORT).returncode == 0
    run = place / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    newest = f"checkpoints/{sorted((run / 'checkpoints').iterdir())[-1].name}"
    for stage, damaged, next_output, said in [
        ("corpus", "corpus/train.jsonl.zst", "tokenizer", "is missing or damaged"),
        ("tokenizer", "tokenizer/tokenizer.json", "tokens", "tokenizer"),
        ("tokens", "tokens/tokens-00000.bin", "choices.json", "SHA-256"),
        ("train", f"{newest}/model.safetensors", "model", "SHA-256"),
        ("train", f"{newest}/state.json", "model", "state.json"),
    ]:
        content = bytearray((run / damaged).read_bytes())
        content[-len(content) // 3] ^= 1
        (run / damaged).write_bytes(content)
        remove(run / next_output)
        again = textmill(place, "run", "recipe.toml", "--out", "run", *SHORT)
        assert again.returncode == 0, again.stderr
        assert f"{stage} is done again" in again.stdout and said in again.stdout, (damaged, again.stdout)
        assert weights(run) == before[run / "model" / "model.safetensors"]
        assert (run / damaged).read_bytes() == before[run / damaged] or damaged.endswith("state.json")  # which holds times
        assert "scores" in json.loads((run / "model" / "textmill.json").read_text())


def test_files_of_a_run_that_hold_garbage_are_named_or_healed(place: Path, textmill: Command) -> None:
    assert textmill(place, "train", "recipe.toml", "--out", "run", *SHORT).returncode == 0
    run = place / "run"
    for name in ("manifest.json", "choices.json", "sources.json", "metrics.jsonl", "ledger.json"):
        original = (run / name).read_bytes()
        for garbage in (b"[]", b"{}", b"3", b"{", b"\xff\xfe", b'{"version": 2, "stages": 7}', original[:-9]):
            (run / name).write_bytes(garbage)
            ended = textmill(place, "train", "recipe.toml", "--out", "run", *SHORT)
            assert "Traceback" not in ended.stderr, (name, garbage, ended.stderr)
            assert ended.returncode in (0, 2)
            assert ended.returncode == 0 or (name in ended.stderr and ("delete" in ended.stderr or "--out" in ended.stderr))
            (run / name).write_bytes(original)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["run", "nothing.toml"], "there is no recipe nothing.toml"),
        (["run", "recipe.toml", "--set", "train.stepz=3"], "did you mean 'steps'"),
        (["run", "recipe.toml", "--set", "corpus.source=nowhere.txt"], "nowhere.txt does not exist"),
        (["run", "recipe.toml", "--until", "tokenise"], "did you mean"),
        (["run", "recipe.toml", "--set", "tokenizer.vocabulary_size=60000"], "vocabulary_size"),
        (["run", "recipe.toml", "--set", "model.context_length=9000000"], "context"),
        (["generate", "nowhere", "x"], "nowhere does not exist"),
        (["sample", "wikipeda"], "did you mean 'wikipedia'"),
        (["recipe", "trian"], "did you mean 'train'"),
        (["run", "recipe.toml", "--set", "train.time=1ms"], "train.time"),
    ],
)
def test_mistakes_end_with_code_2_and_a_way_out(place: Path, textmill: Command, words: list[str], expected: str) -> None:
    result = textmill(place, *words)
    assert result.returncode == 2, result.stdout + result.stderr
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, textmill.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert not {"torch", "numpy", "pydantic", "tokenizers", "rich"} & set(loaded)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_write(place: Path, textmill: Command) -> None:
    (place / "locked").mkdir(mode=0o500)
    result = textmill(place, "run", "recipe.toml", "--out", "locked/run")
    assert result.returncode == 2 and "cannot write" in result.stderr
