"""Some 24,000 short texts of Home Assistant's pages in English, German and Chinese: pairs for a first translator.

They lie in the homeassistant wheel on the Python package index; they are taken out as data, and nothing is installed.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...files import atomic_file
from ...progress import Progress
from . import pip
from .sample import Sample, cannot_be_had

TEXTS_SHA256 = "ac15ba73a7e2c9e36fc93ee34af4f84d960d0a3b33020e46f80025f739095fbb"
_LANGUAGES = {"en": "en", "de": "de", "zh-Hans": "zh"}
_MEMBER = re.compile(rf"homeassistant/components/([^/]+)/translations/({'|'.join(_LANGUAGES)})\.json")
_LARGEST_MEMBER = 1 << 20  # bytes


def _fetch(path: Path, progress: Progress | None) -> None:
    if progress:
        progress.say("fetching Home Assistant's texts: some files of the homeassistant wheel (51 MB); nothing is installed")
    try:
        with pip.wheel("homeassistant==2026.2.3") as wheel:
            content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in _records(wheel)).encode()
        if (found := hashlib.sha256(content).hexdigest()) != TEXTS_SHA256:
            raise pip.PipError(f"what came has another content (SHA-256 {found}, expected {TEXTS_SHA256})")
    except pip.PipError as error:
        raise cannot_be_had(
            "the pairs of Home Assistant",
            str(error),
            "Without a network: a .jsonl of your own with a source and a target in each line does instead",
            "home-assistant",
            path,
        ) from error
    with atomic_file(path) as stream:
        stream.write(content)


def _records(wheel: zipfile.ZipFile) -> Iterator[dict[str, str]]:
    """A record a text that all three languages have, each English text once, in the order of components and keys."""
    by_component: dict[str, dict[str, dict[str, str]]] = {}
    for member in sorted(wheel.infolist(), key=lambda member: member.filename):
        if (match := _MEMBER.fullmatch(member.filename)) and member.file_size <= _LARGEST_MEMBER:
            component, language = match.groups()
            content = wheel.read(member)
            by_component.setdefault(component, {})[_LANGUAGES[language]] = dict(_flat(json.loads(content)))
    seen = set()
    for component, texts in by_component.items():
        for key, english in texts.get("en", {}).items():
            german, chinese = (texts.get(language, {}).get(key, english) for language in ("de", "zh"))
            if english not in (german, chinese) and english not in seen:
                seen.add(english)
                yield {"id": f"{component}.{key}", "en": english, "de": german, "zh": chinese}


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The texts of nested objects, each under its whole key."""
    for key, value in sorted(values.items()):
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value


SAMPLE = Sample(
    name="home-assistant",
    kind="pairs",
    file="home-assistant-en-de-zh.jsonl",
    sha256=TEXTS_SHA256,
    contents="some 24,000 short texts of Home Assistant's pages in English, German and Chinese, from its wheel (by pip)",
    size="51 MB to fetch, 5 MB kept",
    licence="Apache-2.0",
    fetch=_fetch,
)
