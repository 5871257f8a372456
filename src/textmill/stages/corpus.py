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


def changed_sources(place: Workplace) -> list[str]:
    """What became of the source files since the run folder's corpus was made, in words: `2 files changed: a.md, b.md`."""
    before = place.manifest["stages"].get("corpus", {}).get("summary", {}).get("files", {})
    now = source_identity(place)
    kinds = {
        "changed": [name for name in before if now.get(name, before[name]) != before[name]],
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
    }
    return [_named(f"{what}:", names) for what, names in kinds.items() if names] if before else []


def _named(what: str, names: list[str], count: int | None = None) -> str:
    """`7 files WHAT a, b, c, d, e and 2 more`. `count` is the number of files where `names` are only the first."""
    count = len(names) if count is None else count
    shown = names[:NAMED_FILES]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return f"{count:,} {'file' if count == 1 else 'files'} {what} {', '.join(shown)}{more}"


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
        if card[key]["count"]:
            print(f"  {_named(f'{what}:', card[key]['first'], card[key]['count'])}")


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
    parts = [kept[part]["sha256"] for part in ("train", "validation")]
    return {"hash": fingerprint(parts), **card, "files": source_identity(place)}
