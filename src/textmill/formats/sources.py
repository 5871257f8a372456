"""What a user may name as a model: a folder, a .gguf file, a sample, a model on the hub; and where it then lies.

What fetches and writes a model is loaded only where one is imported: each command that reads one asks here where it lies.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from ..errors import ModelError
from ..progress import Progress
from .hub import PREFIX, fetch_from_hub
from .recognise import recognise

if TYPE_CHECKING:
    from .model_folder import Contents

SAMPLE = "sample:"


def import_model(source: str, target: Path, progress: Progress) -> "Contents":
    """Make the model folder `target` of a folder, a .gguf file, `sample:NAME` or `hf:owner/name`. Raises ModelError, before
    anything is written, where that can't be."""
    from ..corpus.samples import fetch_sample
    from .transfer import import_folder, import_gguf, refuse_existing

    refuse_existing(target)
    origin = {"from": source}
    if source.startswith(PREFIX):
        path, origin["commit"] = fetch_from_hub(source, progress)
    elif source.startswith(SAMPLE):
        path = fetch_sample(source.removeprefix(SAMPLE), progress, kind="weights")
    else:
        path = Path(source)
        origin = {"from": path.resolve().name}
    if path.is_file():
        if (found := recognise(path)).kind != "gguf":
            raise ModelError(str(found))
        return import_gguf(path, target, origin, progress.advance)
    return import_folder(path, target, origin, progress.advance)


def model_path(model: str | Path) -> Path:
    """Where a model that a verb was given lies. A sample is imported into the user's cache on its first use."""
    name = str(model)
    if name.startswith(PREFIX):
        raise ModelError(f"{name} has to be fetched first: textmill import {name} {name.rpartition('/')[2].partition('@')[0]}")
    if not name.startswith(SAMPLE):
        return Path(model)
    folder = platformdirs.user_cache_path("textmill") / "models" / name.removeprefix(SAMPLE)
    if not folder.is_dir():
        with Progress("importing", None, "bytes", sys.stderr) as progress:
            import_model(name, folder, progress)
    return folder
