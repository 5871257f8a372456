"""The corpus stage: sources -> clean documents, split, and everything dropped with its reason."""

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..corpus.build import build_corpus
from ..corpus.readers import name_of
from ..corpus.sources import list_sources
from ..errors import RunError
from ..evaluation.quality import NgramQuality
from ..evaluation.texts import training_texts
from ..files import fingerprint, read_json, sha256_of_file, write_json
from ..progress import Progress, format_bytes, rate
from .workplace import Workplace

NAMED_FILES = 5


def source_identity(place: Workplace) -> dict[str, str]:
    """The SHA-256 of each source file; a file of known size and time isn't read again."""
    return _identities(place)[0]


def corpus_identity(place: Workplace) -> dict[str, str]:
    """The same, and those of the files that the quality of the text is judged by."""
    sources, reference = _identities(place)
    return sources | {f"quality reference {name}": sha256 for name, sha256 in reference.items()}


def _identities(place: Workplace) -> list[dict[str, str]]:
    """The SHA-256 of each source file, and of each file of the quality reference."""
    memory_file = place.folder / "sources.json"
    memory = _read_memory(memory_file)
    settings = [place.recipe.corpus, place.recipe.corpus.quality_settings()]
    with Progress("sources", None, "bytes") as progress:
        paths = [list_sources(of, progress) if of else [] for of in settings]
    seen = {}
    for path in itertools.chain(*paths):
        status = path.stat()
        known = memory.get(str(path), {})
        if (known.get("size"), known.get("modified")) != (status.st_size, status.st_mtime_ns):
            known = {"size": status.st_size, "modified": status.st_mtime_ns, "sha256": sha256_of_file(path)}
        seen[str(path)] = known
    if seen != memory:
        write_json(memory_file, seen)
    return [
        {name_of(path, of): seen[str(path)]["sha256"] for path in files} if of else {} for of, files in zip(settings, paths)
    ]


def changed_sources(place: Workplace) -> list[str]:
    """What became of the source files since the run folder's corpus was made, in words: `2 files changed: a.md, b.md`."""
    before = place.manifest["stages"].get("corpus", {}).get("summary", {}).get("files", {})
    now = corpus_identity(place)
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


@contextlib.contextmanager
def _quality_measure(place: Workplace) -> Iterator[NgramQuality | None]:
    """What the quality step measures by, learnt anew each time: that takes seconds, and gives the same figures."""
    settings = place.recipe.corpus.quality_settings()
    if settings is None:
        yield None
        return
    # Its name says that it may go: a killed process leaves it, and the next one sweeps it away.
    with tempfile.TemporaryDirectory(".partial", ".quality.", place.folder, ignore_cleanup_errors=True) as folder:
        with Progress("quality reference", None, "bytes") as progress:
            measure = NgramQuality.learn(training_texts(settings, progress), Path(folder) / "ngram")
        read = measure.model
        print(
            f"  quality is judged by {read.documents_read:,} documents of {place.recipe.corpus.quality_reference}, "
            f"{format_bytes(read.bytes_read)}{', as much as is read' if read.limit_reached else ''}"
        )
        yield measure


def make_corpus(place: Workplace) -> dict[str, Any]:
    """Sources -> clean documents, split; and what was dropped, by which rule."""
    folder = place.folder / "corpus"
    folder.mkdir(exist_ok=True)
    with _quality_measure(place) as measure:
        started = time.perf_counter()
        card = build_corpus(place.recipe.corpus, folder, measure=measure)  # which writes atomically
        seconds = time.perf_counter() - started
    kept = card["kept"]
    size = kept["train"]["bytes"] + kept["validation"]["bytes"]
    print(
        f"  {card['read']:,} documents read: {kept['train']['documents']:,} kept for training, "
        f"{kept['validation']['documents']:,} for validation "
        f"({format_bytes(size)} of clean text); {rate(card['read'] / seconds)} documents/s, {rate(size / 1e6 / seconds)} MB/s"
    )
    for step, rules in card["dropped"].items():
        for rule, dropped in rules.items():
            print(f"  {dropped:,} dropped by {step}: {rule}")
    if "quality" in card:
        low, *deciles, high = card["quality"]["deciles"]
        print(f"  bits per byte under the reference: {low:.2f} to {high:.2f}; deciles {' '.join(f'{d:.2f}' for d in deciles)}")
    _tell_left_out(card)
    parts = [kept[part]["sha256"] for part in ("train", "validation")]
    return {"hash": fingerprint(parts), **card, "files": corpus_identity(place)}
