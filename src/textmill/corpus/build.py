"""The corpus stage: sources in; documents for training and validation, everything dropped, and a card of counts out."""

import collections
import contextlib
import functools
import hashlib
import importlib.metadata
import itertools
import unicodedata
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TextIO

from ..errors import CorpusError
from ..files import fingerprint
from ..machine.cores import usable_cores
from ..progress import Progress
from .blocks import Blocks
from .cleaning import Cleaned
from .document import Drop, Found
from .duplicates import DropDuplicates
from .parallel import MOST_WORKERS, Batch, clean_in_order
from .quality import QualityMeasure
from .readers import read_documents
from .settings import CorpusSettings
from .sources import find_sources
from .split import split_of
from .streams import COMPRESSIONS
from .tally import Tally

BLOCK_CHARACTERS = 1 << 22
"""What is lost at most when a run is killed: 4 Mi characters as they were read, some seconds of work."""

BATCH_CHARACTERS = 1 << 18  # what a worker gets at once: a sixth of a second of work
BATCH_DOCUMENTS = 1000
SMALL_SOURCE = 4 << 20  # bytes that one process has cleaned before others have started
_COMPRESSION = 4  # how many bytes of text a compressed byte holds, about


def build_corpus(
    settings: CorpusSettings,
    folder: str | Path,
    progress_stream: TextIO | None = None,
    cache_folder: Path | None = None,
    workers: int | None = None,
    block_characters: int = BLOCK_CHARACTERS,
    measure: QualityMeasure | None = None,
) -> dict[str, Any]:
    """Read, clean and split the sources into `folder`, which exists; return the card.

    Writes `train.jsonl.zst`, `validation.jsonl.zst`, `dropped.jsonl.zst` and, last, `card.json`. On an error or a kill
    nothing of these changes, and the finished blocks wait in `building/` for the next call with the same settings and
    sources. The output is the same to the byte for any number of `workers` (default: as the size and the cores
    suggest). `measure` is what `settings.quality_reference` asks for. Raises CorpusError for sources that can't be read, or
    where a side would be empty.
    """
    if (measure is None) != (settings.quality_reference is None):
        raise ValueError("settings.quality_reference and a measure go together: give both, or neither")
    with Progress("corpus", None, "bytes", progress_stream) as progress:
        files, left_out = find_sources(settings, progress, cache_folder)
        progress.total = sum(path.stat().st_size for path in files)
        with Blocks(Path(folder), _key(settings, files, block_characters, measure)) as blocks:
            if blocks.finished_card is None:
                clean = functools.partial(
                    clean_in_order, settings=settings, workers=workers or _workers_for(files), measure=measure
                )
                _pour(files, settings, blocks, progress, clean, block_characters)
                _refuse_empty_side(blocks, settings)
                blocks.tally.check(blocks.written)
            card = blocks.finished_card or blocks.tally.card(settings, left_out)
            blocks.publish(card)
    return card


def _key(settings: CorpusSettings, files: list[Path], block_characters: int, measure: QualityMeasure | None) -> str:
    """Stands for all that a block depends on: the settings, the sources, the measure, and the code that cleans them."""
    libraries = ("ftfy", "opencc", "zstandard")
    code = hashlib.sha256()
    for module in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(module.read_bytes())
    return fingerprint(
        {
            "settings": settings.model_dump(mode="json"),
            "files": [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files],
            "block_characters": block_characters,
            "code": code.hexdigest(),
            "libraries": {name: importlib.metadata.version(name) for name in libraries},
            "measure": None if measure is None else measure.identity,
            "unicode": unicodedata.unidata_version,
        }
    )


def _workers_for(files: list[Path]) -> int:
    """As many as there are cores, but one, this process itself, where the others would hardly have begun."""
    size = sum(path.stat().st_size * (_COMPRESSION if path.suffix.lower() in COMPRESSIONS else 1) for path in files)
    return 1 if size < SMALL_SOURCE else min(usable_cores(), MOST_WORKERS)


def _pour(
    files: list[Path],
    settings: CorpusSettings,
    blocks: Blocks,
    progress: Progress,
    clean: Callable[[Iterator[Batch]], Generator[tuple[Batch, list[Cleaned]]]],
    block_characters: int,
) -> None:
    """Take every document that no finished block holds to its place."""
    if blocks.tally.read:
        progress.say(f"corpus: going on after {blocks.tally.read.total():,} documents that an earlier run finished")
    duplicates = DropDuplicates()
    duplicates.remember(blocks.digests())
    block = blocks.tally.next_block()
    batches = _batches(files, settings, (blocks.file, blocks.taken), progress, block_characters)
    with contextlib.closing(clean(batches)) as stream:
        for batch, cleaned in stream:
            for one in cleaned:
                _place(one, block, duplicates, blocks, settings)
            progress.detail = f"{blocks.tally.read.total() + block.read.total():,} documents"
            if batch.ends_block:
                blocks.finish(block, batch.file, batch.taken, duplicates.take_unsaved())
                block = blocks.tally.next_block()


def _place(cleaned: Cleaned, block: Tally, duplicates: DropDuplicates, blocks: Blocks, settings: CorpusSettings) -> None:
    """Write one document to its side, or to what was dropped; and count it."""
    block.count(cleaned)
    record = cleaned.record if isinstance(cleaned.record, Drop) else duplicates(cleaned.record)
    if isinstance(record, Drop):
        block.drop(record)
        blocks.write("dropped", record)
    else:
        side = split_of(record, settings.validation_fraction)
        block.keep(record, side)
        blocks.write(side, record)


def _batches(
    files: list[Path], settings: CorpusSettings, start: tuple[int, int], progress: Progress, block_characters: int
) -> Iterator[Batch]:
    """All documents behind `start` (file, and documents of it already taken), a batch at a time.

    Where blocks end is a function of the documents alone. The last batch ends a block, and may be empty.
    """
    first, taken = start
    found: list[Found] = []
    in_batch = in_block = 0
    for number, path in enumerate(files[first:], first):
        documents = read_documents(path, settings, progress.advance)
        if number == first and taken:
            collections.deque(itertools.islice(documents, taken), maxlen=0)  # read over what is finished
            progress.start_from(progress.done)
        for position, document in enumerate(documents, taken + 1):
            characters = 0 if isinstance(document, Drop) else len(document.text)
            found.append(document)
            in_batch += characters
            in_block += characters
            if in_block >= block_characters or in_batch >= BATCH_CHARACTERS or len(found) >= BATCH_DOCUMENTS:
                yield Batch(found, number, position, in_block >= block_characters)
                found, in_batch = [], 0
                in_block = 0 if in_block >= block_characters else in_block
        taken = 0
    yield Batch(found, len(files), 0, True)


def _refuse_empty_side(blocks: Blocks, settings: CorpusSettings) -> None:
    tally = blocks.tally
    kept = tally.kept.total()
    problem = None
    if not kept:
        rules = ", ".join(f"{count:,} {rule}" for counts in tally.rules.values() for rule, count in counts.items())
        problem = (
            f"no document is left of {tally.read.total():,} ({rules}); give more or longer text, or lower "
            f"corpus.minimum_characters (now {settings.minimum_characters})"
        )
        if settings.quality_bits is not None:
            problem += f", or raise corpus.quality_bits (now {settings.quality_bits:g})"
        if tally.undecoded:
            problem += f"; say how the files are encoded with corpus.encoding (now {settings.encoding!r})"
    for name, advice in (("validation", "raise"), ("train", "lower")):
        if kept and not tally.sides[name].documents:
            problem = (
                f"none of the {kept:,} documents fell to {name}; {advice} corpus.validation_fraction (now "
                f"{settings.validation_fraction:g}) or add documents"
            )
    if problem:
        blocks.abandon()
        raise CorpusError(problem)
