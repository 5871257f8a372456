"""A real English Wikipedia dump sample: 106 articles and 100 redirects, as they are dumped.

It lies in the gensim wheel on the Python package index; it is taken out as data, and nothing is installed.
"""

from pathlib import Path

from ...files import atomic_file
from ...progress import Progress
from . import pip
from .sample import Sample, cannot_be_had

WIKIPEDIA_SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
_MEMBER = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"


def _fetch(path: Path, progress: Progress | None) -> None:
    if progress:
        progress.say("fetching the Wikipedia sample: one file of the gensim wheel (28 MB); nothing is installed")
    try:
        with pip.wheel("gensim==4.4.0") as wheel, atomic_file(path) as stream:
            pip.copy_member(wheel, _MEMBER, WIKIPEDIA_SHA256, stream)
    except pip.PipError as error:
        raise cannot_be_had(
            "the Wikipedia sample",
            str(error),
            "Without a network: textmill run recipes/standard-library.toml does the same with a text that every Python has; "
            "or give text of your own",
            "wikipedia",
            path,
        ) from error


SAMPLE = Sample(
    name="wikipedia",
    kind="text",
    file="wikipedia-sample.xml.bz2",
    sha256=WIKIPEDIA_SHA256,
    contents="a piece of the English Wikipedia's dump, 206 pages, from the gensim wheel (by pip)",
    size="28 MB to fetch, 1.7 MB kept",
    licence="CC BY-SA",
    fetch=_fetch,
)
