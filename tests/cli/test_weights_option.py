"""--weights: short weights for every verb that uses a model, and what is said where they can't be had."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textmill.formats import model_folder
from textmill.formats.model_folder import save_model_folder
from textmill.machine import device
from textmill.native.library import NoKernels

from ..kernels import NATIVE

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture
def folder(make_decoder: Callable, tokenizer: Any, tmp_path: Path) -> Path:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, **NATIVE)
    save_model_folder(tmp_path / "model", model, tokenizer, {})
    return tmp_path / "model"


def test_texts_are_written_in_every_format(folder: Path, textmill: Callable) -> None:
    for format in ("float32", "int8", "int4"):
        options = ["--max-tokens", 8, "--temperature", 0, "--weights", format]
        written = textmill("generate", folder, "The class", *options)
        assert written.code == 0 and written.out.startswith("The class") and "anew" not in written.err
        assert textmill("chat", folder, *options, typed=b"The class").out == written.out.removeprefix("The class")
        assert (folder / f"model.{format}.packed").is_file()


def test_what_short_weights_cost_is_told_beside_the_model_itself(folder: Path, textmill: Callable, tmp_path: Path) -> None:
    text = tmp_path / "text.jsonl"
    words = ["The class of a type is what a statement names.", "A list is an expression, and so is a tuple."]
    text.write_text("".join(json.dumps({"id": str(n), "text": one}) + "\n" for n, one in enumerate(words)))
    found = textmill("evaluate", folder, text, "--weights", "int8", "--against", folder, "--raw", "--json")
    assert found.code == 0, found.err
    short, whole = json.loads(found.out)["systems"]
    name = folder.parent.name  # as that of a run whose model it is
    assert (short["name"], whole["name"]) == (f"{name} in int8", name)
    told, own = short["bits_per_byte"]["signature"], whole["bits_per_byte"]["signature"]
    assert told["weights"] == "int8" and "weights" not in own and told["parameters"] == own["parameters"]
    values = short["bits_per_byte"]["value"], whole["bits_per_byte"]["value"]
    assert 0 < abs(values[0] / values[1] - 1) < 0.01


@pytest.mark.parametrize("tied", [False, True])
def test_vectors_of_texts_by_short_weights(
    tied: bool, make_encoder: Callable, tokenizer: Any, textmill: Callable, tmp_path: Path
) -> None:
    model = make_encoder("bert", vocabulary_size=tokenizer.vocabulary_size, context_length=64, tied_embeddings=tied)
    save_model_folder(tmp_path / "encoder", model, tokenizer, {})
    for format in ("float32", "int8"):
        out = tmp_path / f"{format}.npy"
        assert textmill("embed", tmp_path / "encoder", "The class", "a", "--out", out, "--weights", format).code == 0
    whole, short = (np.load(tmp_path / f"{format}.npy") for format in ("float32", "int8"))
    assert 0 < np.abs(whole - short).max() < 0.1 * np.abs(whole).max()


def test_without_kernels_short_weights_are_refused_and_torch_reads_float32(
    folder: Path, textmill: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> str:
        raise NoKernels("no C++ kernels: avx2 wasn't built")

    monkeypatch.setattr(model_folder, "tried", missing)
    refused = textmill("generate", folder, "a", "--weights", "int4")
    assert refused.code == 2 and "avx2 wasn't built; leave --weights out" in refused.err
    read = textmill("generate", folder, "a", "--max-tokens", 3)
    assert read.code == 0 and "read by torch: no C++ kernels: avx2 wasn't built" in read.err


def test_on_a_gpu_short_weights_are_refused(folder: Path, textmill: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "best_device", lambda: torch.device("cuda"))
    refused = textmill("generate", folder, "a", "--weights", "int8")
    assert refused.code == 2 and "computes on cuda; leave --weights out" in refused.err
