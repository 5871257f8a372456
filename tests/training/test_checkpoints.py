"""Checkpoints: any change of any byte is noticed, the one before is taken, and nothing is thrown away in silence."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.errors import RunError
from textmill.files import write_json, write_sealed
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.training.averaging import WeightAverage
from textmill.training.checkpoints import (
    TrainState,
    checkpoint_folder,
    discard_after,
    list_checkpoints,
    load_tensors,
    restore,
    save_checkpoint,
)
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings

STEPS, DECAY_START = 40, 20
FILES = ("model.safetensors", "optimizer.safetensors", "average.safetensors", "state.json")


def new_state(step: int = 0) -> TrainState:
    """A decoder of some hundred weights that the step decides, its optimizer and its average."""
    model = Decoder(
        DecoderConfig(
            vocabulary_size=16, context_length=8, layers=1, width=8, heads=1, key_value_heads=1, head_dim=8,
            feed_forward_width=8,
        )
    )  # fmt: skip
    model.initialise(step)
    return TrainState(step, model, Optimizer(model, TrainSettings(steps=1)), WeightAverage(model, 0.1))


def save(folder: Path, *steps: int, best_step: int = 0, keep: int = 2) -> None:
    for step in steps:
        state = new_state(step)
        state.best_step = best_step
        save_checkpoint(folder, state, {"train.seed": 0}, STEPS, DECAY_START, keep)


def kept(folder: Path) -> list[int]:
    return [checkpoint.step for checkpoint in list_checkpoints(folder)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of steps 30 and 35."""
    folder = tmp_path_factory.mktemp("two")
    save(folder, 30, 35)
    return folder


def hurt(folder: Path, two: Path, step: int, file: str, content: bytes | None) -> None:
    """A copy of the two checkpoints in which one file of one of them has other content, or is missing."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(two, folder)
    path = checkpoint_folder(folder, step) / file
    path.unlink() if content is None else path.write_bytes(content)


def expect_the_one_before(folder: Path) -> None:
    state = new_state()
    restored = restore(folder, state, STEPS, DECAY_START)
    assert restored is not None and state.step == restored.step == 30
    for name, tensor in load_tensors(checkpoint_folder(folder, 30), "model.safetensors").items():
        assert torch.equal(dict(state.model.named_parameters())[name], tensor)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.sampled_from(FILES), st.integers(0, 10**9), st.integers(1, 255))
def test_any_flipped_byte_is_noticed_and_the_checkpoint_before_is_taken(
    tmp_path: Path, two: Path, file: str, place: int, flip: int
) -> None:
    content = bytearray((checkpoint_folder(two, 35) / file).read_bytes())
    content[place % len(content)] ^= flip
    hurt(tmp_path / "hurt", two, 35, file, bytes(content))
    expect_the_one_before(tmp_path / "hurt")


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_or_missing_file_is_noticed_and_named(
    tmp_path: Path, two: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (checkpoint_folder(two, 35) / file).read_bytes()
    for damaged in (None, b"", content[: len(content) // 2], content[:-1]):
        hurt(tmp_path / "hurt", two, 35, file, damaged)
        expect_the_one_before(tmp_path / "hurt")
        said = capsys.readouterr().out
        assert "step-00000035 is passed over" in said and file in said


def test_every_single_byte_of_the_state_counts(tmp_path: Path, two: Path) -> None:
    content = (checkpoint_folder(two, 35) / "state.json").read_bytes()
    folder = tmp_path / "hurt"
    hurt(folder, two, 35, "state.json", content)
    path = checkpoint_folder(folder, 35) / "state.json"
    assert kept(folder) == [30, 35]
    for place in range(len(content)):
        for flip in (0x01, 0x20, 0x80, content[place] ^ 0x20, content[place] ^ 0x09):
            if flip:
                path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
                assert kept(folder) == [30], (place, flip)


@pytest.mark.parametrize("garbage", [[], 5, None, "text", {}, {"step": "x"}, {"step": 35, "sha256": []}])
def test_a_state_that_is_json_but_no_state_is_passed_over(tmp_path: Path, two: Path, garbage: object) -> None:
    hurt(tmp_path / "hurt", two, 35, "state.json", json.dumps(garbage).encode())
    expect_the_one_before(tmp_path / "hurt")
    if isinstance(garbage, dict):  # as another version of textmill might have written it
        write_sealed(checkpoint_folder(tmp_path / "hurt", 35) / "state.json", garbage)
        expect_the_one_before(tmp_path / "hurt")


def test_where_none_is_sound_nothing_is_written_over(tmp_path: Path, two: Path) -> None:
    hurt(tmp_path / "hurt", two, 35, "state.json", None)
    write_json(checkpoint_folder(tmp_path / "hurt", 30) / "model.safetensors", "damaged")
    before = sorted(tmp_path.rglob("*"))
    state = new_state()
    with pytest.raises(RunError, match=r"no checkpoint in .* is sound.*--restart") as error:
        restore(tmp_path / "hurt", state, STEPS, DECAY_START)
    assert "state.json is missing" in str(error.value) and "model.safetensors is damaged" in str(error.value)
    assert state.step == 0 and sorted(tmp_path.rglob("*")) == before
    with pytest.raises(RunError, match=r"model\.safetensors is damaged"):
        load_tensors(checkpoint_folder(tmp_path / "hurt", 30), "optimizer.safetensors")


def test_the_newest_are_kept_the_best_and_the_one_to_prolong_from(tmp_path: Path) -> None:
    save(tmp_path, 5, 20, 25, 30, 35, 40, best_step=25)
    assert kept(tmp_path) == [20, 25, 35, 40]
    save(tmp_path, 41, best_step=25, keep=4)
    assert kept(tmp_path) == [20, 25, 35, 40, 41]
    save(tmp_path, 42, best_step=42, keep=1)
    assert kept(tmp_path) == [20, 42]


def test_what_lies_beyond_is_dropped_damaged_or_not(tmp_path: Path, two: Path) -> None:
    hurt(tmp_path / "hurt", two, 35, "state.json", b"[]")
    discard_after(tmp_path / "hurt", 30)
    assert [path.name for path in (tmp_path / "hurt").iterdir()] == ["step-00000030"]
