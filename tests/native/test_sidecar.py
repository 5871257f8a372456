"""Packed weights in a file: made once, mapped, made anew wherever they don't fit, and done without where none can be."""

import concurrent.futures
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import torch

from textmill.formats import model_folder
from textmill.formats.model_folder import ModelFolder, load_model_folder, save_model_folder
from textmill.formats.weights import Weights
from textmill.native import sidecar

from ..kernels import NATIVE

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture
def folder(make_decoder: Callable, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, **NATIVE)
    save_model_folder(tmp_path / "model", model, tokenizer, {"seed": 1})
    return tmp_path / "model"


def loaded(folder: Path) -> tuple[ModelFolder, list[str]]:
    """The model in int8, and what was said meanwhile."""
    said: list[str] = []
    return load_model_folder(folder, "int8", said.append), said


def hidden(found: ModelFolder) -> torch.Tensor:
    with torch.no_grad():
        return found.model.hidden(torch.arange(20)[None])


def test_packed_weights_are_made_once_and_then_mapped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, said = loaded(folder)
    assert (folder / "model.int8.packed").is_file() and not said
    # The weights aren't read again, nor packed.
    monkeypatch.setattr(model_folder, "make_weights", None)
    monkeypatch.setattr(Weights, "read", None)
    again, said = loaded(folder)
    assert torch.equal(hidden(again), hidden(first)) and not said
    assert again.lineage == first.lineage


def test_other_weights_and_damaged_files_are_noticed(folder: Path, make_decoder: Callable, tokenizer: Any) -> None:
    first, _ = loaded(folder)
    path = folder / "model.int8.packed"
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[1000] ^= 4
    for content in (whole[:-100], bytes(changed), b"", b"something else", whole[:-20] + bytes(20)):
        path.write_bytes(content)
        again, said = loaded(folder)
        assert len(said) == 1 and "is made anew" in said[0] and str(path) in said[0]
        assert torch.equal(hidden(again), hidden(first)) and path.read_bytes() == whole
    torch.manual_seed(5)
    other = make_decoder(vocabulary_size=tokenizer.vocabulary_size, **NATIVE)
    with torch.no_grad():
        other.norm.weight.add_(1.0)
    save_model_folder(folder.parent / "other", other, tokenizer, {})
    shutil.copy(path, folder.parent / "other" / path.name)
    again, said = loaded(folder.parent / "other")
    assert len(said) == 1 and "other weights" in said[0]
    assert not torch.equal(hidden(again), hidden(first))


@pytest.mark.skipif(os.name == "nt", reason="no pipes among files")
def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "model.int8.packed")
    assert "it is no file; it is made anew" in loaded(folder)[1][0] and loaded(folder)[1] == []


def test_a_copied_folder_keeps_its_packed_weights(folder: Path) -> None:
    loaded(folder)
    shutil.copytree(folder, folder.parent / "copy", copy_function=shutil.copy)  # new times
    assert loaded(folder.parent / "copy")[1] == []


def test_another_version_of_the_packing_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(folder)
    monkeypatch.setattr(sidecar, "version", lambda: "another")
    assert "another version" in loaded(folder)[1][0]


def test_where_nobody_may_write_the_users_cache_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write everywhere
    loaded(folder)
    assert not list(folder.glob("*.packed"))
    assert list((platformdirs.user_cache_path("textmill") / "packed").glob("*.int8.packed"))


def test_without_room_the_weights_are_packed_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = loaded(folder)
    (folder / "model.int8.packed").unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sidecar, "write", full)
    again, said = loaded(folder)
    assert "can't be kept" in said[0] and "No space left" in said[0]
    assert torch.equal(hidden(again), hidden(first)) and not list(folder.glob("*.pack*"))


def test_who_loads_at_once_makes_one_file(folder: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = [result for result, said in pool.map(loaded, [folder] * 3) if not said]
    assert len(found) == 3 and all(torch.equal(hidden(each), hidden(found[0])) for each in found)
    assert sorted(path.name for path in folder.glob("*pack*")) == ["model.int8.packed"]
