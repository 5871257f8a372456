"""The Complete Tang Poems (全唐詩) and their supplements, in traditional characters: one document a poem.

They lie in the npm package `chinese-poetry`; they are taken out as data, and nothing is installed. The poems are some
1,200 years old; the collection is under the MIT licence.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ...files import atomic_file, sha256_of_file
from ...progress import Progress
from ..jsonl import DROP_FIELD
from . import npm
from .sample import Sample, cannot_be_had

PACKAGE = "chinese-poetry@2.0.1"
PACKAGE_BYTES = 85_464_664
PACKAGE_SHA256 = "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86"
POEMS_SHA256 = "7eceff28a7a66f2da22cf67d99043f1a1cc9efba98e2e2a6cfc13705dc961e07"  # of what this file makes of it
MEMBERS = re.compile(r"package/dist/quantangshi/poet\.tang\.(\d+)\.json")
LARGEST_MEMBER = 4_000_000  # the largest has 1 MB

# The supplements' editors wrote into the poems: sources, variants and doubts, in brackets and with Arabic numbers.
_NOTE = re.compile(r"[（）()［］\[\]【】〖〗0-9…·-]")
# Squares and circles for what can't be read any more; characters that Unicode didn't have, spelled out of parts
# (`{肹八=丷}`) or given a number that only one font knows.
_MISSING = re.compile(r"[□○●⿰-⿻{}=+/|A-ZＡ-Ｚ\ue000-\uf8ff]")
_EMENDED = re.compile(r"\[([^\[\]]{1,4})\]")  # `海[晏]山空`: the character is the editors' reading; it stays
_TITLE_NOTE = re.compile(r"（[^（）]*）")
_STOPS = re.compile(r"[，。？！；、]*")  # a line of nothing else, as the supplements have some
_LINE = re.compile(r"[^。？！；\n]+")
SHORTEST_TELLING = 8  # characters: a shorter line may stand in two poems by chance
SAME_SHARE = 0.5  # of a poem's lines: the same poem under another title or another poet's name


def _fetch(path: Path, progress: Progress | None) -> None:
    if progress:
        progress.say(
            f"fetching the Tang poems: the npm package {PACKAGE} (85 MB; MIT licence, JackeyGao and contributors, "
            "github.com/chinese-poetry); nothing is installed"
        )
        progress.total = PACKAGE_BYTES
    try:
        with tempfile.TemporaryDirectory(prefix="textmill-", ignore_cleanup_errors=True) as temporary:
            tarball = npm.pack(PACKAGE, PACKAGE_SHA256, Path(temporary), progress)
            with atomic_file(path) as stream:
                kept, dropped = write_poems(tarball, stream)
        if (found := sha256_of_file(path)) != POEMS_SHA256:
            path.unlink()
            raise npm.NpmError(f"the poems came out otherwise (SHA-256 {found}, expected {POEMS_SHA256})")
    except npm.NpmError as error:
        raise cannot_be_had(
            "the sample of Chinese poems",
            str(error),
            "Without npm or a network: give Chinese text of your own, to recipes/chinese.toml by --set "
            "corpus.source=my-texts/; and recipes/standard-library.toml needs neither",
            "chinese-poetry",
            path,
        ) from error
    if progress:
        rules = ", ".join(f"{count:,} {rule}" for rule, count in dropped.most_common())
        progress.say(f"{kept:,} poems; left out: {rules} (each stands in the corpus's dropped.jsonl.zst)")


def write_poems(tarball: Path, stream: IO[bytes]) -> tuple[int, Counter[str]]:
    """One JSON line a poem of the package, kept or dropped; how many were kept, and how many dropped by which rule.

    Raises NpmError where the package doesn't hold what is expected.
    """
    volumes = sorted((int(match[1]), content) for match, content in npm.read_members(tarball, MEMBERS, LARGEST_MEMBER))
    if not volumes:
        raise npm.NpmError("the package that came holds no Tang poems")
    kept = 0
    dropped: Counter[str] = Counter()
    for record in clean(poem for number, content in volumes for poem in _poems(number, content)):
        if drop := record.get(DROP_FIELD):
            dropped[drop["rule"]] += 1
        else:
            kept += 1
        stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    return kept, dropped


def _poems(number: int, content: bytes) -> Iterator[dict[str, Any]]:
    try:
        for poem in json.loads(content):
            id, title, author = (str(poem[key]) for key in ("id", "title", "author"))
            yield {"id": id, "title": title, "author": author, "lines": [str(line) for line in poem["paragraphs"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise npm.NpmError(f"poet.tang.{number}.json in the package isn't as expected ({error!r})") from error


def clean(poems: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each poem as a record with `id`, `title`, `author`, `dynasty` and `text`; or, instead of `text`, why it is dropped.

    The text is the title, and below it the lines as they are printed. A poem of which half the lines or more stood in
    an earlier one is the same poem again: the collection has its songs twice, and gives some poems to two poets.
    """
    seen: set[str] = set()
    for poem in poems:
        title = " ".join(_EMENDED.sub(r"\1", _TITLE_NOTE.sub("", poem["title"])).split())
        lines = [line for line in (_EMENDED.sub(r"\1", line.strip()) for line in poem["lines"]) if not _STOPS.fullmatch(line)]
        text = "\n".join(lines)
        record = {"id": poem["id"], "title": title, "author": poem["author"], "dynasty": "唐"}
        verses = {verse for verse in _LINE.findall(text) if len(verse) >= SHORTEST_TELLING}
        known = len(verses & seen) / len(verses) if verses else 0.0
        if not lines:
            yield _dropped(record, "no text")
        elif note := _NOTE.search(title + text):
            yield _dropped(record, "editors' notes in the text", note[0])
        elif missing := _MISSING.search(title + text):
            yield _dropped(record, "missing characters", missing[0])
        elif known >= SAME_SHARE:
            yield _dropped(record, "same poem again", round(known, 3), SAME_SHARE)
        else:
            yield {**record, "text": f"{title}\n{text}".strip()}
            seen |= verses


def _dropped(record: dict[str, Any], rule: str, value: str | float = "", threshold: float | str = "") -> dict[str, Any]:
    return {**record, DROP_FIELD: {"rule": rule, "value": value, "threshold": threshold}}


SAMPLE = Sample(
    name="chinese-poetry",
    kind="text",
    file="chinese-poetry-tang.jsonl",
    sha256=POEMS_SHA256,
    contents="some 50,000 poems of the Tang dynasty in traditional characters, from the npm package chinese-poetry (by npm)",
    size="85 MB to fetch, 19 MB kept",
    licence="MIT; the poems are in the public domain",
    fetch=_fetch,
)
