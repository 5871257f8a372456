"""A GGUF file as what a model folder of transformers holds: config.json, tensors under the stock names, tokenizer, template."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelError, TokenizerError
from ...tokens.tokenizer import Tokenizer
from . import llama
from .architectures import BY_GGUF_NAME
from .counterparts import check_shapes, to_stock
from .hyperparameters import Hyperparameters
from .reader import GgufFile, read_gguf
from .tokenizer import TEMPLATE_KEY, read_tokenizer


@dataclass(frozen=True)
class LoadedGguf:
    """`config` is a config.json of transformers, `tensors` the stock class's, in float32; a tied head is left out.

    `metadata` is all that the file says, under its own keys.
    """

    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    tokenizer: Tokenizer
    chat_template: str | None
    metadata: dict[str, Any]


def load_gguf(path: str | Path) -> LoadedGguf:
    """Read a GGUF file (gpt2, llama, qwen2, qwen3 or bert). Raises ModelError, with all that is wrong of one kind, where it is
    damaged, lies, or holds what textmill doesn't."""
    file = read_gguf(path)
    try:
        return _load(file)
    except (ModelError, TokenizerError) as error:
        raise ModelError(*(f"{path}: {problem}" for problem in error.problems)) from error


def _load(file: GgufFile) -> LoadedGguf:
    shapes = {name: place.shape for name, place in file.places.items()}
    architecture = file.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in BY_GGUF_NAME:
        raise ModelError(f"general.architecture is {architecture!r}; {', '.join(BY_GGUF_NAME)} are read")
    layout = BY_GGUF_NAME[architecture]
    metadata = Hyperparameters(file.metadata, architecture)
    config = layout.config_from(metadata, shapes)
    if problems := metadata.finish():
        raise ModelError(*problems)
    if layout is llama and shapes.pop(llama.FREQUENCIES, ()):
        config = llama.scaled(config, file.tensor(llama.FREQUENCIES), file.metadata.get(llama.TOLD))
    counterparts = layout.counterparts(config)
    check_shapes({name: one.gguf_shape for name, one in counterparts.items()}, shapes)
    tokenizer = read_tokenizer(file.metadata)
    if tokenizer.vocabulary_size > config["vocab_size"]:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocabulary_size:,} tokens, the model {config['vocab_size']:,} rows; "
            "they don't belong together"
        )
    template = file.metadata.get(TEMPLATE_KEY)
    tensors = {one.name: to_stock(file.tensor(name), one) for name, one in counterparts.items()}
    return LoadedGguf(config, tensors, tokenizer, template if isinstance(template, str) else None, file.metadata)
