"""Models from elsewhere made a model folder, and model folders written for elsewhere: tensor by tensor, no bit changed unasked.

What comes in is checked whole before anything is written.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..errors import ModelError, nearest
from ..files import read_foreign_json, sha256_of_file
from .gguf import load_gguf
from .layouts import is_own, layout_for, layout_to_keep
from .matching import check_copies
from .model_folder import Contents, load_tokenizer, write_model_folder
from .opened_folder import OpenedFolder, open_model_folder
from .weights import DTYPES, SHARD_BYTES, Advance

SAME = "same"
NUMBER_FORMATS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}  # what can be asked for -> safetensors' names
# What generation_config.json says of tokens: it is written from the tokenizer.
TOKEN_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
# How sentence-transformers makes one vector of a text's.
COMPANIONS = ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json")


def import_folder(source: Path, target: Path, origin: Mapping[str, Any], advance: Advance | None = None) -> Contents:
    """Write the model folder `source`, anyone's, as `target`. `origin` says where it comes from."""
    opened = open_model_folder(source)
    check_copies(opened.weights, opened.places, opened.layout, opened.config)
    files = {path.name: sha256_of_file(path) for path in sorted(opened.path.iterdir()) if path.is_file()}
    contents = contents_of(opened, {**opened.lineage, **_imported(origin, files)})
    write_model_folder(target, contents, advance=advance)
    return contents


def import_gguf(source: Path, target: Path, origin: Mapping[str, Any], advance: Advance | None = None) -> Contents:
    """Write a GGUF file as the model folder `target`, its numbers, whatever they are packed as, in float32."""
    loaded = load_gguf(source)
    layout = layout_to_keep(loaded.config, loaded.architecture)
    contents = Contents(
        layout,
        loaded.config,
        {name: ("F32", shape) for name, shape in layout.stock_shapes(loaded.config).items()},
        layout.to_stock(loaded.tensors, loaded.config),
        loaded.tokenizer,
        _imported(origin, {source.name: sha256_of_file(source)}),
    )
    write_model_folder(target, contents, advance=advance)
    return contents


def export_folder(
    source: Path, target: Path, dtype: str = SAME, shard_bytes: int = SHARD_BYTES, advance: Advance | None = None
) -> None:
    """Write a model folder as transformers reads it, its weights as numbers of `dtype`: same, float32, bfloat16 or float16.

    Raises ModelError where no stock class holds the model, where float16 is too narrow for a weight, and where there is
    something at `target` already.
    """
    refuse_existing(target)
    if dtype not in (known := (SAME, *NUMBER_FORMATS)):
        raise ModelError(f"--dtype {dtype!r} is unknown{nearest(dtype, known)}; write one of {', '.join(known)}")
    opened = open_model_folder(source)
    if is_own(opened.layout):
        layout_for(opened.config, task=opened.layout.task)  # raises, with the reasons
    contents = contents_of(opened, opened.lineage)
    if dtype != SAME:
        stored = {name: (NUMBER_FORMATS[dtype], shape) for name, (_, shape) in contents.stored.items()}
        contents = dataclasses.replace(contents, stored=stored, read=_as(contents.read, dtype))
    write_model_folder(target, contents, shard_bytes, advance)


def contents_of(opened: OpenedFolder, lineage: Mapping[str, Any]) -> Contents:
    """What a folder holds, as it is to be written again."""
    path = opened.path / "generation_config.json"
    sampling = read_foreign_json(path, ModelError) if path.is_file() else {}
    if not isinstance(sampling, dict):
        raise ModelError(f"{path} must be a JSON object")
    copies = opened.layout.copies(opened.config)
    stored = {name: opened.weights.tensors[place] for name, place in opened.places.items() if name not in copies}
    return Contents(
        opened.layout,
        opened.config,
        {name: (one.dtype, one.shape) for name, one in stored.items()},
        lambda name: opened.weights.read(opened.places[name]),
        load_tokenizer(opened.path, opened.config),
        lineage,
        {key: value for key, value in sampling.items() if key not in TOKEN_KEYS},
        {name: read_foreign_json(opened.path / name, ModelError) for name in COMPANIONS if (opened.path / name).is_file()},
    )


def refuse_existing(target: Path) -> None:
    """Raise ModelError where there is something at `target`."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ModelError(f"{target} exists already; give the name of one that doesn't, or move that one away")


def _imported(origin: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    return {"textmill": __version__, "imported": {**origin, "sha256": dict(files)}}


def _as(read: Callable[[str], Tensor], dtype: str) -> Callable[[str], Tensor]:
    """What `read` gives, as other numbers. Raises ModelError where they are too narrow for it."""

    def converted(name: str) -> Tensor:
        tensor = read(name)
        other = tensor.to(DTYPES[NUMBER_FORMATS[dtype]])
        if torch.isinf(other).sum() > torch.isinf(tensor).sum():
            largest = f"{tensor[tensor.isfinite()].abs().max():.3g}"
            raise ModelError(f"weight {name} has numbers up to {largest}, too large for {dtype}; take bfloat16 or float32")
        return other

    return converted
