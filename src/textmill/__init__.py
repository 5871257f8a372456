"""textmill: text and a budget in; a language model you can trust, explain and serve out."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .formats.model_folder import ModelFolder

__version__ = "0.1.0.dev0"


def load(path: str | Path) -> "ModelFolder":
    """Load a model folder, or the sample `sample:smollm2`: its model, tokenizer and lineage. Raises ModelError where it can't
    be used."""
    from .formats.model_folder import load_model_folder
    from .formats.sources import model_path

    return load_model_folder(model_path(path))
