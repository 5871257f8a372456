"""A model folder as one GGUF file, which llama.cpp loads as it is. What llama.cpp would compute otherwise is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from ...errors import ModelError, TokenizerError, nearest
from ...tokens.special_tokens import CONFIG_FILE, read_config
from ...tokens.tokenizer import Tokenizer
from . import bert, gpt2, llama
from .architectures import BY_MODEL_TYPE, gguf_name
from .counterparts import check_shapes, to_gguf
from .tensor_types import READ, WRITTEN, TensorType
from .tokenizer import tokenizer_metadata
from .values import Value
from .writer import write_gguf

QUANTISATION_VERSION = 2  # of ggml's blocks
# Read row by row or added as they are: llama.cpp's own conversion leaves them in F32, like everything with one dimension.
KEPT = ("position_embd.weight", "token_types.weight", llama.FREQUENCIES)
# Four bits are too few for these: every token passes through them.
FINER = {"Q4_0": ("token_embd.weight", "output.weight")}


def save_gguf(path: str | Path, folder: str | Path, kind: str = "F16") -> list[str]:
    """Write the model folder (config.json, model.safetensors, tokenizer.json) as a GGUF file whose matrices are of this type:
    F32, F16, BF16, Q8_0 or Q4_0.

    Gives back what the file holds otherwise than the folder, one sentence each. Raises ModelError where llama.cpp can't hold
    the model or its tokenizer, with the reason.
    """
    folder = Path(folder)
    if kind not in WRITTEN:
        raise ModelError(f"there is no GGUF type {kind!r} to write{nearest(kind, WRITTEN)} (known: {', '.join(WRITTEN)})")
    notes: list[str] = []
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = gguf_name(config.get("model_type"))
        layout = BY_MODEL_TYPE[config["model_type"]]
        problems = [f"{key} is missing in config.json" for key in layout.REQUIRED if not isinstance(config.get(key), int)]
        if problems:
            raise ModelError(*problems)
        shape = layout.metadata_from(config, problems)
        if problems:
            raise ModelError(*problems)
        tensors = _tensors(folder, config, notes)
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        template = _chat_template(folder)
        words = tokenizer_metadata(content, Tokenizer.load(folder), template, config["vocab_size"], notes)
    except (ModelError, TokenizerError) as error:
        raise ModelError(*(f"{folder} can't be written as GGUF: {problem}" for problem in error.problems)) from error
    metadata: dict[str, Value] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": folder.resolve().parent.name if folder.name == "model" else folder.resolve().name,
        "general.file_type": WRITTEN[kind],
        **({"general.quantization_version": QUANTISATION_VERSION} if kind.startswith("Q") else {}),
        **{f"{architecture}.{key}": value for key, value in shape.items()},
        **(llama.told(config) if layout is llama else {}),
        **words,
    }
    write_gguf(path, metadata, tensors, {name: _kind_of(name, tensor, kind) for name, tensor in tensors.items()})
    return notes


def _kind_of(name: str, tensor: torch.Tensor, kind: str) -> TensorType:
    if tensor.dim() < 2 or name in KEPT:
        return READ["F32"]
    return READ["Q8_0"] if name in FINER.get(kind, ()) else READ[kind]


def _tensors(folder: Path, config: Mapping[str, Any], notes: list[str]) -> dict[str, torch.Tensor]:
    """The folder's tensors under GGUF's names, in the order of the layers."""
    layout = BY_MODEL_TYPE[config["model_type"]]
    try:
        stock = safetensors.torch.load_file(folder / "model.safetensors")
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"model.safetensors can't be read: {error}") from error
    if layout is bert:
        stock = {name.removeprefix("bert."): tensor for name, tensor in stock.items()}
        heads = sorted(name for name in stock if name.startswith(bert.HEADS))
        if heads:
            notes.append(f"a BERT has no head in GGUF: {', '.join(heads)} are left out")
        stock = {name: tensor for name, tensor in stock.items() if name not in (*heads, *bert.BUFFERS)}
    if config.get("tie_word_embeddings", layout is gpt2):
        stock.pop("lm_head.weight", None)  # some writers save the tied matrix twice
    counterparts = layout.counterparts(config)
    expected = {one.name: one.shape for one in counterparts.values()}
    check_shapes(expected, {name: tuple(tensor.shape) for name, tensor in stock.items()})
    tensors = {name: to_gguf(stock[one.name].float(), one) for name, one in counterparts.items()}
    if layout is llama and (factors := llama.slowing(config)) is not None:
        tensors[llama.FREQUENCIES] = factors
    return tensors


def _chat_template(folder: Path) -> str | None:
    """The folder's chat template, in a file of its own or in tokenizer_config.json."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    template = read_config(folder / CONFIG_FILE).get("chat_template")
    return template if isinstance(template, str) else None
