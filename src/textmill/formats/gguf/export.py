"""A model folder as one GGUF file, which llama.cpp loads as it is. What llama.cpp would compute otherwise is refused."""

import json
from pathlib import Path

from ...errors import ModelError, nearest
from ...models.encoder import EncoderConfig
from ...tokens.special_tokens import read_config
from ...tokens.tokenizer import Tokenizer
from ...tokens.tokenizer_file import TOKENIZER_FILE
from ..opened_folder import open_model_folder
from .architectures import architecture_for
from .llama import SLOWING
from .tensor_types import READ, WRITTEN, TensorType
from .tokenizer import tokenizer_metadata
from .values import Value
from .writer import write_gguf

QUANTISATION_VERSION = 2  # of ggml's blocks
# Read row by row or added as they are: llama.cpp's own conversion leaves them in F32, like everything with one dimension.
KEPT = ("position_embd.weight", "token_types.weight", SLOWING)
# Four bits are too few for these: every token passes through them.
FINER = {"Q4_0": ("token_embd.weight", "output.weight")}
POOLING = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2}  # sentence-transformers' words, llama.cpp's numbers


def save_gguf(path: str | Path, folder: str | Path, kind: str = "F16") -> list[str]:
    """Write a model folder as a GGUF file whose matrices are of the type `kind`: F32, F16, BF16, Q8_0 or Q4_0.

    Gives back what llama.cpp does otherwise with it in rare cases, one sentence each. Raises ModelError where it can't hold
    the model or its tokenizer, with the reason.
    """
    if kind not in WRITTEN:
        raise ModelError(f"there is no GGUF type {kind!r} to write{nearest(kind, WRITTEN)} (known: {', '.join(WRITTEN)})")
    opened = open_model_folder(folder)
    folder, config = opened.path, opened.config
    tokenizer = Tokenizer.load(folder)
    notes: list[str] = []
    problems: list[str] = []
    words: dict[str, Value] = {}
    if opened.layout.task is not None:
        problems.append(f"{opened.layout.architectures[0]} is a body under a task's head, which isn't written there")
    try:
        architecture = architecture_for(config, opened.layout.model_type)
    except ModelError as error:
        problems += error.problems
    try:
        content = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
        words = tokenizer_metadata(content, tokenizer, config.vocabulary_size, notes)
    except ModelError as error:
        problems += error.problems
    if problems:
        raise ModelError(*(f"{folder} can't be written as GGUF: {problem}" for problem in problems))
    read = architecture.to_stock(dict(opened.layout.from_stock(opened.stock_tensors(), config)), config)
    shapes = architecture.stock_shapes(config)
    metadata: dict[str, Value] = {
        "general.architecture": architecture.model_type,
        "general.type": "model",
        "general.name": folder.resolve().parent.name if folder.name == "model" else folder.resolve().name,
        "general.file_type": WRITTEN[kind],
        **({"general.quantization_version": QUANTISATION_VERSION} if kind.startswith("Q") else {}),
        **{f"{architecture.model_type}.{key}": value for key, value in architecture.settings(config).items()},
        **words,
        **(_encoder_metadata(folder, config, notes) if isinstance(config, EncoderConfig) else {}),
    }
    write_gguf(path, metadata, {name: (_kind_of(name, shape, kind), shape) for name, shape in shapes.items()}, read)
    return notes


def _kind_of(name: str, shape: tuple[int, ...], kind: str) -> TensorType:
    if len(shape) < 2 or name in KEPT:
        return READ["F32"]
    return READ["Q8_0"] if name in FINER.get(kind, ()) else READ[kind]


def _encoder_metadata(folder: Path, config: EncoderConfig, notes: list[str]) -> dict[str, Value]:
    """What llama.cpp must know of an encoder beside its shape: how many types of tokens there are, and how a text's embedding
    is made of them: by their mean, as here, unless the folder says otherwise as sentence-transformers does."""
    if left_out := [part for part in ("masked_head", "pooler") if getattr(config, part)]:
        notes.append(f"llama.cpp's bert is for embeddings: {' and '.join(left_out)} is left out")
    modes = read_config(folder / "1_Pooling" / "config.json") or {"pooling_mode_mean_tokens": True}
    kinds = [number for mode, number in POOLING.items() if modes.get(mode) is True]
    if len(kinds) != 1:
        notes.append(
            "its 1_Pooling asks for an embedding that llama.cpp doesn't make of its own accord; it will ask for --pooling"
        )
    pooling: dict[str, Value] = {"bert.pooling_type": kinds[0]} if len(kinds) == 1 else {}
    return {"tokenizer.ggml.token_type_count": config.token_types, **pooling}
