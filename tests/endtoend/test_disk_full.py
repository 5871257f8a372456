"""A disk that runs full while a model is trained: it is told, the last good checkpoint stays, and the run goes on from it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on files and no tmpfs")

STEPS = ["--until", "model", "--set", "train.steps=24", "--set", "train.keep_checkpoints=1"]
TRAIN = ["run", "recipe.toml", "--out", "disk/run", *STEPS]
LIMITED = """
import resource
import sys

import textmill.cli

limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
textmill.cli.main()
"""


@pytest.fixture(scope="module")
def whole(make_place: Callable[[], Path], textmill) -> bytes:
    """The weights that a disk with room enough gives."""
    place = make_place()
    assert textmill(place, "run", "recipe.toml", "--out", "whole", *STEPS).returncode == 0
    return (place / "whole" / "model" / "model.safetensors").read_bytes()


def sound_checkpoints(run: Path) -> list[int]:
    return [json.loads(path.read_text())["step"] for path in sorted((run / "checkpoints").glob("step-*/state.json"))]


def expect_told_and_gone_on_with(
    place: Path, textmill: Callable[..., Any], whole: bytes, full: Any, reason: str, make_room: Any
) -> None:
    """The command failed for want of room; with room it ends as if nothing had been."""
    assert full.returncode == 2, full.stdout + full.stderr
    assert "can't be written" in full.stderr and reason in full.stderr and "run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    run = place / "disk" / "run"
    kept = sound_checkpoints(run)
    assert kept and kept[-1] < 24 and not list(run.rglob(".*.partial"))
    make_room()
    again = textmill(place, *TRAIN)
    assert again.returncode == 0 and f"Going on from step {kept[-1]} of 24" in again.stdout, again.stderr
    assert (run / "model" / "model.safetensors").read_bytes() == whole


def test_a_limit_on_the_size_of_files(place: Path, textmill, starter, whole: bytes) -> None:
    """The kernel refuses to let a file grow (EFBIG), within safetensors as within Python."""
    first = textmill(place, "train", "recipe.toml", "--out", "disk/run", *STEPS[2:], "--set", "train.steps=6")
    assert first.returncode == 0, first.stderr
    largest = max(path.stat().st_size for path in (place / "disk" / "run" / "checkpoints").rglob("*.safetensors"))
    (place / "limited.py").write_text(LIMITED)
    full = starter(place, largest // 2, *TRAIN, script=place / "limited.py")
    expect_told_and_gone_on_with(place, textmill, whole, full, "the system allows no larger file", lambda: None)


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of its own at `disk`, of eight megabytes."""
    disk = place / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here, so no disk can run full")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_without_room(place: Path, textmill, whole: bytes, small_disk: Path) -> None:
    first = textmill(place, "train", "recipe.toml", "--out", "disk/run", *STEPS[2:], "--set", "train.steps=6")
    assert first.returncode == 0, first.stderr
    free = shutil.disk_usage(small_disk).free
    checkpoint = sum(path.stat().st_size for path in next((small_disk / "run" / "checkpoints").iterdir()).iterdir())
    (small_disk / "filler").write_bytes(bytes(free - checkpoint // 2))
    full = textmill(place, *TRAIN)
    expect_told_and_gone_on_with(place, textmill, whole, full, "it needs", (small_disk / "filler").unlink)
