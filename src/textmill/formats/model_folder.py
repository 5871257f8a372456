"""A model folder: what one directory holds so that this code, transformers and others can use it.

`config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`, and
`textmill.json` with the model's lineage and the hashes of the other files. Weights are never pickled.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelError, RunError, nearest
from ..files import atomic_folder, read_sealed, sha256_of_file, write_json, write_sealed
from ..models.architectures import build
from ..models.config import ModelConfig
from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer
from .layouts import Layout, layout_to_keep, read_stock_config
from .matching import match_weights, stock_tensors
from .recognise import Recognised, find_model_folder, recognise
from .weights import Weights, open_weights, write_weights

LINEAGE_FILE = "textmill.json"
LARGEST_CONFIG = 1 << 24  # bytes


@dataclass(frozen=True)
class ModelFolder:
    """A loaded model folder."""

    path: Path
    model: LanguageModel
    tokenizer: Tokenizer
    lineage: dict[str, Any]


@dataclass(frozen=True)
class OpenedFolder:
    """A model folder whose files fit together, by their headers; no weight is loaded. `places`: the stored name of each tensor
    of the layout."""

    path: Path
    layout: Layout
    config: ModelConfig
    lineage: dict[str, Any]
    weights: Weights
    places: dict[str, str]

    @property
    def formats(self) -> set[str]:
        """The number formats of the weights: F32, BF16, …"""
        return {self.weights.tensors[stored].dtype for stored in self.places.values()}

    def stock_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The layout's tensors, one after the other, as they are stored."""
        return stock_tensors(self.weights, self.places, self.layout, self.config)


def save_model_folder(
    path: str | Path, model: LanguageModel, tokenizer: Tokenizer, lineage: dict[str, Any], architecture: str | None = None
) -> None:
    """Write the whole folder, atomically. `lineage` says what the model was made of: recipe, data hashes, scores.

    Where several stock classes hold the model, `architecture` names the one to write for.
    """
    layout = layout_to_keep(model.config, architecture)
    with atomic_folder(path) as folder:
        stored = {name: ("F32", shape) for name, shape in layout.stock_shapes(model.config).items()}
        write_weights(folder, stored, layout.to_stock(model.state_dict(), model.config))
        write_json(folder / "config.json", layout.stock_config(model.config, tokenizer))
        write_json(
            folder / "generation_config.json",
            {
                "bos_token_id": tokenizer.bos_id,
                "eos_token_id": ends if len(ends := sorted(tokenizer.end_ids)) > 1 else tokenizer.eos_id,
                "pad_token_id": tokenizer.eos_id if tokenizer.pad_id is None else tokenizer.pad_id,
                "do_sample": True,
                "temperature": 0.8,
                "top_p": 0.95,
            },
        )
        tokenizer.save(folder, model_max_length=model.config.context_length)
        write_lineage(folder, lineage)


def open_model_folder(path: str | Path) -> OpenedFolder:
    """The model folder that `path` names, or the one in a run folder, with its headers read and compared. Raises ModelError,
    with all that is wrong, where it can't be used; also where a file has changed since textmill wrote it."""
    folder = find_model_folder(path)
    if (found := recognise(folder)).kind != "model":
        raise ModelError(_no_model(folder, found))
    lineage = _read_lineage(folder)
    layout, config = read_stock_config(_read_json(folder / "config.json"), str(folder / "config.json"))
    weights = open_weights(folder)
    return OpenedFolder(folder, layout, config, lineage, weights, match_weights(weights, layout, config))


def load_model_folder(path: str | Path) -> ModelFolder:
    """Read a model folder, or the one in a run folder, tensor by tensor. Raises ModelError, with all that is wrong, where it
    can't be used."""
    opened = open_model_folder(path)
    folder, config = opened.path, opened.config
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise ModelError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size} tokens, the model only {config.vocabulary_size}; "
            "these two don't belong together"
        )
    model = build(config)
    weights = model.state_dict()
    for name, tensor in opened.layout.from_stock(opened.stock_tensors(), config):
        weights[name].copy_(tensor)
    return ModelFolder(folder, model.eval(), tokenizer, opened.lineage)


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


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ModelError(f"{path} has more than {LARGEST_CONFIG:,} bytes, which is no configuration")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error!s:.200}") from error


def _no_model(path: Path, found: Recognised) -> str:
    """What to say of a path that was given as a model and is none."""
    if found.kind == "run":
        go_on = f"textmill run {path / 'recipe.toml'} --out {path}"
        return f"{path} is a run folder whose model isn't made yet; finish it with: {go_on}"
    if found.kind == "missing":
        near = nearest(path.name, [inner.parent.name for inner in path.parent.glob("*/*.json")])
        return f"{found.what} ({found.advice}){near}; give a model folder or a run folder, such as runs/wikipedia-sample"
    return str(found)
