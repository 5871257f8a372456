"""The corpus stage: sources -> clean documents, split, and everything dropped with its reason."""

import contextlib
from pathlib import Path
from typing import Any

from ..corpus.build import build_corpus
from ..corpus.readers import name_of
from ..corpus.sources import list_sources
from ..errors import RunError
from ..files import fingerprint, read_json, sha256_of_file, write_json
from ..progress import Progress, format_bytes
from .workplace import Workplace

NAMED_FILES = 5


def source_identity(place: Workplace) -> dict[str, str]:
    """The SHA-256 of each source file; a file of known size and time isn't read again."""
    memory_file = place.folder / "sources.json"
    memory = _read_memory(memory_file)
    seen = {}
    with Progress("sources", None, "bytes") as progress:
        paths = list_sources(place.recipe.corpus, progress)
    for path in paths:
        status = path.stat()
        known = memory.get(str(path), {})
        if (known.get("size"), known.get("modified")) != (status.st_size, status.st_mtime_ns):
            known = {"size": status.st_size, "modified": status.st_mtime_ns, "sha256": sha256_of_file(path)}
        seen[str(path)] = known
    if seen != memory:
        write_json(memory_file, seen)
    return {name_of(Path(path), place.recipe.corpus): known["sha256"] for path, known in seen.items()}


def _read_memory(path: Path) -> dict[str, Any]:
    """What was known of the sources; nothing where that can't be read, since it only saves reading them again."""
    with contextlib.suppress(OSError, RunError):
        memory = read_json(path)
        if isinstance(memory, dict) and all(isinstance(known, dict) for known in memory.values()):
            return memory
    return {}


def _tell_left_out(card: dict[str, Any]) -> None:
    """Name files that weren't read: their owner should know, and can have them read."""
    for key, what in (
        ("files_of_unknown_format", "left out, of no format that is read"),
        ("files_in_another_encoding", "dropped for their encoding, which corpus.encoding can name"),
    ):
        count, names = card[key]["count"], card[key]["first"][:NAMED_FILES]
        if count:
            more = f" and {count - len(names):,} more" if count > len(names) else ""
            print(f"  {count:,} {'file' if count == 1 else 'files'} {what}: {', '.join(names)}{more}")


def make_corpus(place: Workplace) -> dict[str, Any]:
    """Sources -> clean documents, split; and what was dropped, by which rule."""
    folder = place.folder / "corpus"
    folder.mkdir(exist_ok=True)
    card = build_corpus(place.recipe.corpus, folder)  # which writes atomically
    kept = card["kept"]
    print(
        f"  {card['read']:,} documents read: {kept['train']['documents']:,} kept for training, "
        f"{kept['validation']['documents']:,} for validation "
        f"({format_bytes(kept['train']['bytes'] + kept['validation']['bytes'])} of clean text)"
    )
    for step, rules in card["dropped"].items():
        for rule, dropped in rules.items():
            print(f"  {dropped:,} dropped by {step}: {rule}")
    _tell_left_out(card)
    return {"hash": fingerprint([kept[part]["sha256"] for part in ("train", "validation")]), **card}
