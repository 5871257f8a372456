"""Corpus, tokenizer and tokens that one run has made stand for the others too: a dump isn't cleaned twelve times.

They are taken over as they are, with their entry in the manifest. What they were made from is looked at by the run that takes
them, as ever: where that differs, it makes its own.
"""

import contextlib
import os
import shutil
from pathlib import Path

from ..errors import RunError
from ..files import atomic_folder, folder_lock, read_sealed, write_sealed
from ..run import MANIFEST, MANIFEST_VERSION

STAGES = ("corpus", "tokenizer", "tokens")


def share_stages(source: Path, target: Path) -> None:
    """Give the run folder `target`, where it has finished nothing, what `source` has of the shared stages."""
    try:
        finished = read_sealed(source / MANIFEST)["stages"]
    except RunError:  # not there yet, or damaged: its own run will say so
        return
    with folder_lock(target):
        if (target / MANIFEST).exists():
            return
        taken = {name: finished[name] for name in STAGES if name in finished and (source / name).is_dir()}
        if not taken:
            return
        for name in taken:
            with atomic_folder(target / name) as folder:
                shutil.copytree(source / name, folder, copy_function=_link, dirs_exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # what is known of the source files, which needn't be read again
            shutil.copyfile(source / "sources.json", target / "sources.json")
        write_sealed(target / MANIFEST, {"version": MANIFEST_VERSION, "stages": taken})


def _link(source: str, target: str) -> None:
    """The same file under another name, where the disk can do that: stages replace their files and never write into them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
