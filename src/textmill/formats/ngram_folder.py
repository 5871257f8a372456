"""An n-gram as a folder: each of its arrays a .npy file, which processes on one machine map into memory and so share."""

from pathlib import Path

import numpy as np

from ..files import atomic_folder, read_json, write_json
from ..models.ngram import NgramModel

FACTS = "ngram.json"


def save_ngram(model: NgramModel, folder: str | Path) -> None:
    """Write the folder, atomically."""
    with atomic_folder(folder) as place:
        for name, array in model.arrays().items():
            np.save(place / f"{name}.npy", array, allow_pickle=False)
        write_json(place / FACTS, model.facts())


def load_ngram(folder: str | Path) -> NgramModel:
    """The n-gram that `save_ngram` wrote, mapped from its files: what isn't looked up needs no memory."""
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in Path(folder).glob("*.npy")}
    return NgramModel.restore(arrays, read_json(Path(folder) / FACTS))
