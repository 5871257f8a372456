"""A model folder looked at before a weight is loaded: its shape, layout and lineage, and whether its files fit together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelError, RunError, nearest
from ..files import read_foreign_json, read_sealed, sha256_of_file
from ..models.config import ModelConfig
from .layouts import Layout, read_stock_config
from .matching import match_weights, stock_tensors
from .recognise import Recognised, find_model_folder, recognise
from .weights import Weights, open_weights

LINEAGE_FILE = "textmill.json"


@dataclass(frozen=True)
class OpenedFolder:
    """A model folder whose files fit together, by their headers; no weight is loaded. `places`: the stored name of each tensor
    of the layout; `hashes`: the SHA-256 of its files, as textmill wrote them."""

    path: Path
    layout: Layout
    config: ModelConfig
    lineage: dict[str, Any]
    weights: Weights
    places: dict[str, str]
    hashes: Mapping[str, str]

    @property
    def formats(self) -> set[str]:
        """The number formats of the weights: F32, BF16, …"""
        return {self.weights.tensors[stored].dtype for stored in self.places.values()}

    def stock_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The layout's tensors, one after the other, as they are stored."""
        return stock_tensors(self.weights, self.places, self.layout, self.config)


def open_model_folder(path: str | Path, known: Mapping[str, str] | None = None) -> OpenedFolder:
    """The model folder that `path` names, or the one in a run folder, with its headers read and compared. Raises ModelError,
    with all that is wrong, where it can't be used; also where a file has changed since textmill wrote it. `known` are the
    SHA-256 of files that needn't be read for it."""
    folder = find_model_folder(path)
    if (found := recognise(folder)).kind != "model":
        raise ModelError(_no_model(folder, found))
    lineage, hashes = _read_lineage(folder, known or {})
    path = folder / "config.json"
    layout, config = read_stock_config(read_foreign_json(path, ModelError), str(path))
    weights = open_weights(folder)
    places = match_weights(folder, weights.tensors, layout, config)
    return OpenedFolder(folder, layout, config, lineage, weights, places, hashes)


def _read_lineage(folder: Path, known: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What textmill.json says, and the files' hashes; empty where there is none. Raises ModelError for every file that has
    changed since."""
    if not (folder / LINEAGE_FILE).exists():
        return {}, {}
    try:
        lineage = read_sealed(folder / LINEAGE_FILE)
    except RunError as error:
        problems = [str(error).partition("; delete it")[0]]
    else:
        hashes = lineage.pop("sha256", {})
        del lineage["fingerprint"]
        problems = [
            f"{folder / name} is {'not as textmill wrote it' if (folder / name).is_file() else 'missing'}"
            for name, digest in hashes.items()
            if not (folder / name).is_file() or (known.get(name) or sha256_of_file(folder / name)) != digest
        ]
    if problems:
        advice = f"fetch or make {folder} anew; if it was changed on purpose, delete its {LINEAGE_FILE}"
        raise ModelError(*(f"{problem}; {advice}" for problem in problems))
    return lineage, hashes


def _no_model(path: Path, found: Recognised) -> str:
    """What to say of a path that was given as a model and is none."""
    if found.kind == "run":
        go_on = f"textmill run {path / 'recipe.toml'} --out {path}"
        return f"{path} is a run folder whose model isn't made yet; finish it with: {go_on}"
    if found.kind == "missing":
        near = nearest(path.name, [inner.parent.name for inner in path.parent.glob("*/*.json")])
        return f"{found.what} ({found.advice}){near}; give a model folder or a run folder, such as runs/wikipedia-sample"
    return str(found)
