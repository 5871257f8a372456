"""A model folder: what one directory holds so that this code, transformers and others can use it.

`config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`, and
`textmill.json` with the model's lineage and the hashes of the other files. Weights are never pickled.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..errors import ModelError, RunError, nearest
from ..files import atomic_folder, read_sealed, sha256_of_file, write_json, write_sealed
from ..models.architectures import build, build_empty
from ..models.config import ModelConfig
from ..models.decoder import DecoderConfig
from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer
from . import qwen3
from .recognise import Recognised, find_model_folder, recognise

LINEAGE_FILE = "textmill.json"


@dataclass(frozen=True)
class ModelFolder:
    """A loaded model folder."""

    path: Path
    model: LanguageModel
    tokenizer: Tokenizer
    lineage: dict[str, Any]


def save_model_folder(path: str | Path, model: LanguageModel, tokenizer: Tokenizer, lineage: dict[str, Any]) -> None:
    """Write the whole folder, atomically. `lineage` says what the model was made of: recipe, data hashes, scores."""
    with atomic_folder(path) as folder:
        tensors = {name: tensor.contiguous() for name, tensor in qwen3.to_stock(model.state_dict(), model.config).items()}
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        write_json(folder / "config.json", qwen3.stock_config(model.config, tokenizer.bos_id, tokenizer.eos_id))
        write_json(
            folder / "generation_config.json",
            {
                "bos_token_id": tokenizer.bos_id,
                "eos_token_id": tokenizer.eos_id,
                "pad_token_id": tokenizer.eos_id,
                "do_sample": True,
                "temperature": 0.8,
                "top_p": 0.95,
            },
        )
        tokenizer.save(folder, model_max_length=model.config.context_length)
        write_lineage(folder, lineage)


def read_shape(path: str | Path) -> tuple[Path, ModelConfig, dict[str, Any]]:
    """The model folder that `path` names, the shape that its config.json tells, and its lineage. Raises ModelError, also
    where a file has changed since textmill wrote it."""
    folder = find_model_folder(path)
    if (found := recognise(folder)).kind != "model":
        raise ModelError(_no_model(folder, found))
    lineage = _read_lineage(folder)
    try:
        stock = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{folder / 'config.json'} is not valid JSON: {error}") from error
    return folder, qwen3.config_from_stock(stock, str(folder / "config.json")), lineage


def check_weights(folder: Path, config: ModelConfig) -> set[str]:
    """The number formats of a folder's weights, from their header alone. Raises ModelError where they aren't this shape's."""
    path = _weights_file(folder)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            shapes = {name: tuple(one.get_shape()) for name, one in slices.items()}
            formats = {one.get_dtype() for one in slices.values()}
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{path} can't be read as safetensors: {error}; it may be truncated, fetch it anew") from error
    model = build_empty(config)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    _check_tensors(folder, model, qwen3.from_stock(tensors, _decoder(config)))
    return formats


def load_model_folder(path: str | Path) -> ModelFolder:
    """Read a model folder, or the one in a run folder. Raises ModelError, with all that is wrong, where it can't be used."""
    folder, config, lineage = read_shape(path)
    model = build(config)
    tensors = qwen3.from_stock(_read_weights(folder), _decoder(config))
    _check_tensors(folder, model, tensors)
    model.load_state_dict(tensors)
    model.eval()
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise ModelError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size} tokens, the model only {config.vocabulary_size}; "
            "these two don't belong together"
        )
    return ModelFolder(folder, model, tokenizer, lineage)


def write_lineage(folder: Path, lineage: dict[str, Any]) -> None:
    """Write textmill.json, with the hash of each other file that is there now."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != LINEAGE_FILE)
    write_sealed(folder / LINEAGE_FILE, {**lineage, "sha256": {path.name: sha256_of_file(path) for path in files}})


def _read_lineage(folder: Path) -> dict[str, Any]:
    """What textmill.json says; empty where there is none. Raises ModelError for every file that has changed since."""
    if not (folder / LINEAGE_FILE).exists():
        return {}
    try:
        lineage = read_sealed(folder / LINEAGE_FILE)
    except RunError as error:
        problems = [str(error).partition("; delete it")[0]]
    else:
        hashes = lineage.pop("sha256", {})
        del lineage["fingerprint"]
        problems = [
            f"{folder / name} is not as textmill wrote it"
            for name, digest in hashes.items()
            if not (folder / name).is_file() or sha256_of_file(folder / name) != digest
        ]
    if problems:
        advice = f"fetch or make {folder} anew; if it was changed on purpose, delete its {LINEAGE_FILE}"
        raise ModelError(*(f"{problem}; {advice}" for problem in problems))
    return lineage


def _no_model(path: Path, found: Recognised) -> str:
    """What to say of a path that was given as a model and is none."""
    if found.kind == "run":
        go_on = f"textmill run {path / 'recipe.toml'} --out {path}"
        return f"{path} is a run folder whose model isn't made yet; finish it with: {go_on}"
    if found.kind == "missing":
        near = nearest(path.name, [inner.parent.name for inner in path.parent.glob("*/*.json")])
        return f"{found.what} ({found.advice}){near}; give a model folder or a run folder, such as runs/wikipedia-sample"
    return str(found)


def _weights_file(folder: Path) -> Path:
    path = folder / "model.safetensors"
    if not path.is_file():
        pickled = sorted(file.name for file in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
        why = f"; {pickled[0]} is a pickle, which can run code when opened, so convert it first" if pickled else ""
        raise ModelError(f"{folder} holds no model.safetensors{why}")
    return path


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    path = _weights_file(folder)
    try:
        return {name: tensor.float() for name, tensor in safetensors.torch.load_file(path).items()}
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{path} can't be read as safetensors: {error}; it may be truncated, fetch it anew") from error


def _check_tensors(folder: Path, model: LanguageModel, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    problems = [f"{folder}: weight {name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{folder}: weight {name} is not one of this model's" for name in tensors.keys() - expected.keys()]
    problems += [
        f"{folder}: weight {name} has shape {tuple(tensors[name].shape)}, config.json says {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if problems:
        raise ModelError(*sorted(problems))


def _decoder(config: ModelConfig) -> DecoderConfig:
    if not isinstance(config, DecoderConfig):
        raise ModelError("only decoders are held by a model folder so far")
    return config
