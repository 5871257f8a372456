"""Whatever is given instead of a model is told what it is and what to do with it; nothing in it is run or opened whole."""

import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from textmill.errors import ModelError
from textmill.formats.model_folder import load_model_folder
from textmill.formats.recognise import recognise


def zip_of(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")


FILES = {
    "model.gguf": b"GGUF" + struct.pack("<IQQ", 3, 10, 10),
    "old.bin": pickle.dumps({"weight": 1}),
    "model.safetensors": struct.pack("<Q", 2) + b"{}",
    "notes.txt": "Käse".encode() * 200,
    "data.dat": bytes(range(256)),
    "empty.txt": b"",
    "config.json": b"{}",
}


@pytest.mark.parametrize(
    "name, what, advice",
    [
        ("model.gguf", "a GGUF file, the format of llama.cpp", "textmill import "),
        ("old.bin", "a pickle", "can run code when opened: convert it"),
        ("model.safetensors", "holds weights", "give the folder that it is in"),
        ("notes.txt", "a text file", "give a model folder"),
        ("data.dat", "of a kind that isn't known", "give a model folder"),
        ("empty.txt", "an empty file", "give a model folder"),
        ("config.json", "a JSON file", "give the folder that it is in"),
    ],
)
def test_files(tmp_path: Path, name: str, what: str, advice: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    with pytest.raises(ModelError) as error:
        load_model_folder(tmp_path / name)
    assert what in str(error.value) and advice in str(error.value)


def test_only_a_zip_with_pickled_weights_is_called_a_pickle(tmp_path: Path) -> None:
    zip_of(tmp_path / "weights.zip")
    told = str(recognise(tmp_path / "weights.zip"))
    assert told.count("is a pickle") == 1 and "convert it" in told
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("model/config.json", "{}")
    told = str(recognise(tmp_path / "model.zip"))
    assert "model.zip is a zip archive; unpack it" in told and "a pickle" not in told


def test_folders(tmp_path: Path) -> None:
    for name, expected in [("empty", "is an empty folder"), ("pickled", "holds weights.pt and no config.json")]:
        (tmp_path / name).mkdir()
        if name == "pickled":
            zip_of(tmp_path / name / "weights.pt")
            assert "a pickle" in str(recognise(tmp_path / name / "weights.pt"))
        with pytest.raises(ModelError, match=expected):
            load_model_folder(tmp_path / name)


def test_a_run_that_could_not_get_its_text_is_a_run(tmp_path: Path) -> None:
    for name in (".lock", "recipe.toml"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"no stage of it is done yet; `textmill run .* goes on"):
        load_model_folder(tmp_path)


def test_a_run_is_its_model_and_an_unfinished_one_says_how_to_go_on(tiny_run: Path, tmp_path: Path) -> None:
    assert load_model_folder(tiny_run).path == tiny_run / "model"
    for name in ("manifest.json", "recipe.toml"):
        (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
    with pytest.raises(ModelError, match=r"isn't made yet; finish it with: textmill run .*recipe\.toml --out"):
        load_model_folder(tmp_path)
    checkpoint = next((tiny_run / "checkpoints").glob("step-*"))
    with pytest.raises(ModelError, match=r"is a checkpoint.*goes on with it"):
        load_model_folder(checkpoint)
