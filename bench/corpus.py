"""Corpus building at size: a dump made of the Wikipedia sample's pages, beside `mwparserfromhell` alone on the same pages.

    python bench/corpus.py [--megabytes 200] [--workers N]

The dump repeats the sample's pages under new names until it has so many megabytes of XML; each copy's paragraphs are changed a
little, so that no copy is dropped as a duplicate. A quarter of it is built first, so that memory can be seen not to grow. In
the JSON line, last, `times_peer_per_core` is the articles per second of wall time and core, all cores counted, beside the
library's on one core; `share_by_step` says where one process's time goes. Measure on a quiet machine.
"""

import argparse
import bz2
import collections
import io
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import mwparserfromhell
import psutil

from textmill.corpus.blocks import Blocks
from textmill.corpus.build import build_corpus
from textmill.corpus.cleaning import Cleaner
from textmill.corpus.document import Drop
from textmill.corpus.duplicates import DropDuplicates
from textmill.corpus.mediawiki import Article
from textmill.corpus.readers import read_documents
from textmill.corpus.samples import fetch_sample
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.split import split_of
from textmill.corpus.streams import byte_chunks
from textmill.corpus.tally import Tally
from textmill.machine.cores import usable_cores

HEAD = '<mediawiki xml:lang="en"><siteinfo><namespaces><namespace key="0"/></namespaces></siteinfo>\n'
PAGE = "<page><title>{0}</title><ns>0</ns><id>{1}</id>{2}<revision><id>{1}</id><text>{3}</text></revision></page>\n"


def sample_pages() -> list[Article | Drop]:
    """The sample's articles and redirects, in their order."""
    path = fetch_sample("wikipedia")
    found = read_documents(path, CorpusSettings(source="sample:wikipedia"))
    return [page for page in found if isinstance(page, Article) or (isinstance(page, Drop) and page.rule == "redirect")]


def dump(pages: list[Article | Drop], size: int) -> Iterator[bytes]:
    """The XML of a dump of at least `size` bytes, page by page."""
    yield HEAD.encode()
    written = number = copy = 0
    while written < size:
        copy += 1
        for page in pages:
            number += 1
            if isinstance(page, Article):
                redirect, text = "", re.sub(r"\n\n", f"\n\nCopy {copy}. ", page.text)
            else:
                redirect, text = '<redirect title="A"/>', "#REDIRECT [[A]]"
            xml = PAGE.format(escape(f"{page.title} {copy}"), number, redirect, escape(text)).encode()
            written += len(xml)
            yield xml
            if written >= size:
                break
    yield b"</mediawiki>"


def write_dump(path: Path, pages: list[Article | Drop], megabytes: float) -> int:
    """Write the dump as .xml.bz2, streaming; the bytes of its XML."""
    size = 0
    with bz2.open(path, "wb", compresslevel=9) as stream:
        for xml in dump(pages, int(megabytes * 1e6)):
            size += len(xml)
            stream.write(xml)
    return size


class PeakMemory:
    """The most that this process and all below it held at one time, asked every 200 ms.

    Memory that processes share is counted once where the system tells it (PSS, on Linux), else in each (RSS).
    """

    def __enter__(self) -> "PeakMemory":
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.2):
            held = 0
            for one in [process, *process.children(recursive=True)]:
                try:
                    memory = one.memory_full_info()
                    held += getattr(memory, "pss", memory.rss)
                except psutil.Error:  # it ended just now
                    continue
            self.bytes = max(self.bytes, held)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def seconds_of_the_library_alone(pages: list[Article | Drop]) -> float:
    """CPU seconds that `mwparserfromhell` takes for one pass over the sample: parse and `strip_code`, nothing else."""
    started = time.process_time()
    for page in pages:
        if isinstance(page, Article):
            mwparserfromhell.parse(page.text).strip_code()
    return time.process_time() - started


def build(source: Path, folder: Path, workers: int | None) -> tuple[dict[str, Any], dict[str, float]]:
    """Build the corpus of a dump; its card, and the seconds, the share of the cores' time and the bytes that it took."""
    folder.mkdir()
    cores = min(usable_cores(), workers or usable_cores())
    with PeakMemory() as memory:
        before, started = sum(os.times()[:4]), time.perf_counter()
        card = build_corpus(CorpusSettings(source=str(source)), folder, io.StringIO(), workers=workers)
        seconds, used = time.perf_counter() - started, sum(os.times()[:4]) - before
    return card, {"seconds": seconds, "cores_busy": used / seconds / cores, "peak_memory": memory.bytes}


def seconds_by_step(source: Path, folder: Path) -> dict[str, float]:
    """The CPU seconds that each step takes, one after the other in one process, for the documents of a dump."""
    settings = CorpusSettings(source=str(source))
    cleaner, seconds = Cleaner(settings), collections.Counter[str]()

    def timed(name: str, action: Callable[..., Any], *arguments: Any) -> Any:
        started = time.process_time()
        result = action(*arguments)
        seconds[name] += time.process_time() - started
        return result

    timed("unpacking", lambda: collections.deque(byte_chunks(source), maxlen=0))
    found = timed("XML", lambda: list(read_documents(source, settings)))
    seconds["XML"] -= seconds["unpacking"]
    duplicates, tally = DropDuplicates(), Tally()
    with Blocks(folder, "") as blocks:
        for one in found:
            document = one if isinstance(one, Drop) else timed("wikitext", one.read, settings)
            for name, step in cleaner.steps.items():
                document = document if isinstance(document, Drop) else timed(name, step, document)
            document = document if isinstance(document, Drop) else timed("duplicates", duplicates, document)
            side = "dropped" if isinstance(document, Drop) else split_of(document, settings.validation_fraction)
            if not isinstance(document, Drop):
                timed("counts and hashes", tally.keep, document, side)
            timed("writing", blocks.write, side, document)
        timed("writing", blocks.finish, tally, 1, 0, duplicates.take_unsaved())
    return dict(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=200, help="size of the dump, in MB of XML")
    parser.add_argument("--workers", type=int, help="processes that clean; default: as the corpus stage chooses")
    options = parser.parse_args()
    pages = sample_pages()
    articles = sum(isinstance(page, Article) for page in pages)
    library = [seconds_of_the_library_alone(pages) / articles]
    with tempfile.TemporaryDirectory(prefix="textmill-") as name:
        source, quarter = Path(name, "dump.xml.bz2"), Path(name, "quarter.xml.bz2")
        size = write_dump(source, pages, options.megabytes)
        write_dump(quarter, pages, options.megabytes / 4)
        _, small = build(quarter, Path(name, "small"), options.workers)
        card, large = build(source, Path(name, "large"), options.workers)
        by_step = seconds_by_step(quarter, Path(name, "steps"))
    library.append(seconds_of_the_library_alone(pages) / articles)
    kept = sum(side["documents"] for side in card["kept"].values())
    cores = min(usable_cores(), options.workers or usable_cores())
    rate = kept / large["seconds"] / cores
    shares = {step: taken / sum(by_step.values()) for step, taken in sorted(by_step.items(), key=lambda entry: -entry[1])}
    result = {
        "bench": "corpus",
        "megabytes": size / 1e6,
        "pages": card["read"],
        "articles_kept": kept,
        "cores": cores,
        "seconds": large["seconds"],
        "cores_busy": large["cores_busy"],
        "megabytes_per_second": size / 1e6 / large["seconds"],
        "articles_per_second_and_core": rate,
        "peer_articles_per_second_and_core": 1 / min(library),
        "times_peer_per_core": rate * min(library),
        "peak_memory_of_all_processes": {"quarter": small["peak_memory"], "whole": large["peak_memory"]},
        "share_by_step": shares,
    }
    print(
        f"{size / 1e6:.0f} MB of XML, {card['read']:,} pages, {kept:,} articles kept, in {large['seconds']:.1f} s on {cores} "
        f"cores, busy for {large['cores_busy']:.0%} of it; {result['megabytes_per_second']:.2f} MB/s"
    )
    print(
        f"articles per second and core: {rate:.1f}, the library alone {1 / min(library):.1f}: "
        f"{result['times_peer_per_core']:.2f} times as many"
    )
    peaks = [f"{one['peak_memory'] / 1e6:.0f} MB" for one in (large, small)]
    print(f"at most {peaks[0]} in all processes; for a quarter of the dump {peaks[1]}")
    print("of one process's time: " + ", ".join(f"{step} {share:.1%}" for step, share in shares.items()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
