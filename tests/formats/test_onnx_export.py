"""What leaves as ONNX is what ONNX Runtime computes: any batch, any length, padding or not, sources read once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from textmill.errors import ModelError
from textmill.formats import onnx_export
from textmill.formats.model_folder import ModelFolder
from textmill.formats.onnx_export import save_onnx
from textmill.inference.generate import start_of_target
from textmill.models.architectures import build
from textmill.models.language_model import LanguageModel
from textmill.models.settings import ModelSettings
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.spans import MARKS
from textmill.tokens.special_tokens import PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
SHAPE = {"preset": "0.5m", "layers": 2, "width": 32, "head_dim": 16, "context_length": 24}


def folder_of(tokenizer: Tokenizer, architecture: str, **changes: object) -> ModelFolder:
    """A tiny model whose every weight is random."""
    settings = ModelSettings(**{**SHAPE, "architecture": architecture, **changes})
    model = build(settings.config(tokenizer.vocabulary_size)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    return ModelFolder(Path("nowhere"), model, tokenizer, {})


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, 512, (rows, length), generator=torch.Generator().manual_seed(length))


def run(path: Path, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {name: np.asarray(tensor) for name, tensor in inputs.items()})
    return dict(zip(names, map(torch.from_numpy, found), strict=True))


def check_card(folder: Path, model: LanguageModel, graphs: set[str]) -> None:
    card = json.loads((folder / "onnx.json").read_text(encoding="utf-8"))
    assert card["family"] == model.family and set(card["graphs"]) == graphs
    assert {path.name for path in folder.iterdir()} == {*graphs, "onnx.json", "tokenizer.json", "tokenizer_config.json"}


@torch.no_grad()
@pytest.mark.parametrize("architecture, changes", [("mistral", {"sliding_window": 4}), ("gpt2", {})])
def test_a_decoder_with_or_without_a_window_at_every_length(
    tokenizer: Tokenizer, tmp_path: Path, architecture: str, changes: dict[str, Any]
) -> None:
    folder = folder_of(tokenizer, architecture, **changes)
    save_onnx(tmp_path / "out", folder)
    check_card(tmp_path / "out", folder.model, {"model.onnx"})
    for rows, length in ((1, 1), (3, 4), (2, 24)):
        found = run(tmp_path / "out" / "model.onnx", tokens=tokens(rows, length))
        torch.testing.assert_close(found["logits"], folder.model(tokens(rows, length)), **TOLERANCE)
        torch.testing.assert_close(found["hidden"], folder.model.hidden(tokens(rows, length)), **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_an_encoder_and_its_padding(tokenizer: Tokenizer, tmp_path: Path, architecture: str) -> None:
    folder = folder_of(tokenizer, architecture)
    save_onnx(tmp_path / "out", folder)
    lengths = torch.tensor([24, 1, 9])
    found = run(tmp_path / "out" / "model.onnx", tokens=tokens(3, 24), lengths=lengths)
    expected = folder.model(tokens(3, 24), lengths=lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found["logits"][row, :length], expected[row, :length], **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("architecture, tied", [("lstm", False), ("gru", True), ("rnn", False)])
def test_a_recurrent_model_beyond_its_training_context(
    tokenizer: Tokenizer, tmp_path: Path, architecture: str, tied: bool
) -> None:
    folder = folder_of(tokenizer, architecture, tied_embeddings=tied, head_dim=None)
    save_onnx(tmp_path / "out", folder)
    for rows, length in ((1, 1), (2, 60)):
        found = run(tmp_path / "out" / "model.onnx", tokens=tokens(rows, length))
        torch.testing.assert_close(found["logits"], folder.model(tokens(rows, length)), **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["marian", "mbart"])
def test_an_encoder_decoder_as_two_graphs(texts: list[str], tmp_path: Path, architecture: str) -> None:
    tokenizer = train_tokenizer(TokenizerSettings(vocabulary_size=512), texts, special=[PAD, *MARKS])
    folder = folder_of(tokenizer, architecture, layers=1)  # two are above, and writing takes seconds a layer
    save_onnx(tmp_path / "out", folder)
    check_card(tmp_path / "out", folder.model, {"encoder.onnx", "decoder.onnx"})
    card = json.loads((tmp_path / "out" / "onnx.json").read_text(encoding="utf-8"))
    assert card["decoder_start_token_id"] == start_of_target(folder.model, tokenizer)
    lengths = torch.tensor([24, 3])
    memory = run(tmp_path / "out" / "encoder.onnx", source=tokens(2, 24), lengths=lengths)["memory"]
    found = run(tmp_path / "out" / "decoder.onnx", tokens=tokens(2, 5), memory=memory, lengths=lengths)
    expected = folder.model(tokens(2, 5), source=tokens(2, 24), lengths=lengths)
    torch.testing.assert_close(found["logits"], expected, **TOLERANCE)


def test_the_command_writes_a_run_s_model(textmill: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    refused = textmill("export", tiny_run, "--to", "onnx", "--out", tmp_path / "out", "--dtype", "bfloat16")
    assert refused.code == 2 and "float32" in refused.err and not list(tmp_path.iterdir())
    written = textmill("export", tiny_run, "--to", "onnx", "--out", tmp_path / "out")
    assert written.code == 0 and "differ from the model's by at most" in written.err
    card = json.loads((tmp_path / "out" / "onnx.json").read_text(encoding="utf-8"))
    assert card["graphs"]["model.onnx"]["inputs"] == {"tokens": ["batch", "length"]}


def test_what_runs_otherwise_is_not_written(tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tokenizer, "gpt2", layers=1)
    write = onnx_export._write

    def write_another(graph: onnx_export.Graph, path: Path, model: LanguageModel) -> None:
        write(graph, path, model)
        with torch.no_grad():
            model.embedding.weight.mul_(2)

    monkeypatch.setattr(onnx_export, "_write", write_another)
    with pytest.raises(ModelError, match=r"model\.onnx: ONNX Runtime's numbers differ"):
        save_onnx(tmp_path / "out", folder)
    assert not list(tmp_path.iterdir())
