"""A real English Wikipedia dump sample: 106 articles and 100 redirects, as they are dumped.

It lies in the gensim wheel on the Python package index; it is taken out as data, and nothing is installed.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ...errors import CorpusError
from ...files import atomic_file, sha256_of_file
from ...progress import Progress
from .sample import Sample, cannot_be_had

WIKIPEDIA_SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
_MEMBER = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
_DOWNLOAD = [
    "--no-deps",
    "--only-binary=:all:",
    "--python-version",
    "3.13",
    "--implementation",
    "cp",
    "--abi",
    "cp313",
    "--platform",
    "manylinux_2_28_x86_64",
    "--disable-pip-version-check",
    "--no-input",
    "gensim==4.4.0",
]


def _fetch(path: Path, progress: Progress | None) -> None:
    if progress:
        progress.say("fetching the Wikipedia sample: one file of the gensim wheel (28 MB); nothing is installed")
    with tempfile.TemporaryDirectory(prefix="textmill-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", temporary, *_DOWNLOAD]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        wheels = list(Path(temporary).glob("*.whl"))
        if result.returncode or not wheels:
            last = (result.stderr.strip() or result.stdout.strip() or "pip said nothing").splitlines()[-1]
            raise _no_sample(path, f"pip could not download it: {last}")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(_MEMBER) as member, atomic_file(path) as stream:
                while chunk := member.read(1 << 20):
                    stream.write(chunk)
        except (zipfile.BadZipFile, KeyError) as error:
            raise _no_sample(path, f"the wheel that came does not hold it ({error})") from error
    if (found := sha256_of_file(path)) != WIKIPEDIA_SHA256:
        path.unlink()
        raise _no_sample(path, f"what came has another content (SHA-256 {found}, expected {WIKIPEDIA_SHA256})")


def _no_sample(path: Path, reason: str) -> CorpusError:
    return cannot_be_had(
        "the Wikipedia sample",
        reason,
        "Without a network: textmill run recipes/standard-library.toml does the same with a text that every Python has; "
        "or set corpus.source to text of your own",
        "wikipedia",
        path,
    )


SAMPLE = Sample(
    name="wikipedia",
    file="wikipedia-sample.xml.bz2",
    sha256=WIKIPEDIA_SHA256,
    contents="a piece of the English Wikipedia's dump, 206 pages, from the gensim wheel (by pip)",
    size="28 MB to fetch, 1.7 MB kept",
    licence="CC BY-SA",
    fetch=_fetch,
)
