"""textmill: text and a budget in; a language model you can trust, explain and serve out."""

from pathlib import Path
from typing import TYPE_CHECKING

from .machine.waiting import set_waiting

if TYPE_CHECKING:
    from .formats.model_folder import ModelFolder
    from .native.packing import Format

__version__ = "0.1.0.dev0"
set_waiting()  # before anything loads torch


def load(path: str | Path, weights: "Format | None" = None) -> "ModelFolder":
    """Load a model folder, or the sample `sample:smollm2`: its model, tokenizer and lineage. Raises ModelError where it can't
    be used.

    With `weights` ("float32", "int8" or "int4") its layers are multiplied by the C++ kernels, for inference on a CPU alone."""
    from .formats.model_folder import load_model_folder
    from .formats.sources import model_path

    return load_model_folder(model_path(path), weights)
