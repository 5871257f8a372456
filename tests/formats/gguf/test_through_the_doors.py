"""`textmill export` and `textmill import` with GGUF files: what came in goes out, and comes in again as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from textmill.formats.model_folder import load_model_folder

from ...tokens.foreign import MAKERS


def test_out_and_in_again(
    textmill: Callable[..., Any], make_folder: Callable[[str], tuple[Path, Any]], texts: list[str], tmp_path: Path
) -> None:
    folder, path, again = make_folder("qwen3")[0], tmp_path / "model.gguf", tmp_path / "again"
    result = textmill("export", folder, "--to", "gguf", "--dtype", "F32", "--out", path)
    assert result.code == 0 and f"Written: {path}" in result.out
    result = textmill("import", path, again)
    assert result.code == 0 and "in the layout of qwen3" in result.out
    before, after = load_model_folder(folder), load_model_folder(again)
    assert before.model.config == after.model.config and before.tokenizer.encode(texts[0]) == after.tokenizer.encode(texts[0])
    expected = before.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in after.model.state_dict().items())


def test_an_encoder_comes_back_as_its_body(textmill: Callable[..., Any], texts: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    MAKERS["bert"](texts, folder)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.BertModel(transformers.BertConfig(**sizes, vocab_size=600)).save_pretrained(folder)
    assert "pooler is left out" in textmill("export", folder, "--to", "gguf", "--out", tmp_path / "model.gguf").err
    result = textmill("import", tmp_path / "model.gguf", tmp_path / "again")
    assert result.code == 0, result.err
    ids = torch.tensor([load_model_folder(folder).tokenizer.encode_whole("A text.")])
    hidden = [load_model_folder(one).model.hidden(ids) for one in (folder, tmp_path / "again")]
    assert (hidden[0] - hidden[1]).abs().max() < 0.05  # float16 between them


def test_a_lying_file_is_told_and_nothing_is_written(textmill: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "lie.gguf"
    path.write_bytes(b"GGUF\3\0\0\0" + b"\xff" * 16)
    result = textmill("import", path, tmp_path / "model")
    assert result.code == 2 and "18,446,744,073,709,551,615 tensors" in result.err and "Traceback" not in result.err
    assert not (tmp_path / "model").exists()
