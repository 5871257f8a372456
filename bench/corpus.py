"""Corpus building at size: a dump made of the Wikipedia sample's pages, beside `mwparserfromhell` alone on the same pages.

    python bench/corpus.py [--megabytes 200] [--workers N]

The dump repeats the sample's pages under new names until it has so many megabytes of XML; each copy's paragraphs are changed a
little, so that no copy is dropped as a duplicate. Prints a few lines, and one JSON line last. Measure on a quiet machine.
"""

import argparse
import bz2
import io
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import mwparserfromhell
import psutil

from textmill.corpus.build import build_corpus
from textmill.corpus.document import Drop
from textmill.corpus.mediawiki import Article
from textmill.corpus.readers import read_documents
from textmill.corpus.samples import fetch_sample
from textmill.corpus.settings import CorpusSettings
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
    """The most that this process and all below it held at one time, asked every 50 ms.

    Memory that processes share is counted once where the system tells it (PSS, on Linux), else in each (RSS).
    """

    def __enter__(self) -> "PeakMemory":
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.05):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=200, help="size of the dump, in MB of XML")
    parser.add_argument("--workers", type=int, help="processes that clean; default: as the corpus stage chooses")
    options = parser.parse_args()
    pages = sample_pages()
    articles = sum(isinstance(page, Article) for page in pages)
    library = seconds_of_the_library_alone(pages) / articles
    with tempfile.TemporaryDirectory(prefix="textmill-") as name:
        source, corpus = Path(name, "dump.xml.bz2"), Path(name, "corpus")
        corpus.mkdir()
        size = write_dump(source, pages, options.megabytes)
        with PeakMemory() as memory:
            started = time.perf_counter()
            card = build_corpus(CorpusSettings(source=str(source)), corpus, io.StringIO(), workers=options.workers)
            seconds = time.perf_counter() - started
    kept = sum(side["documents"] for side in card["kept"].values())
    cores = min(usable_cores(), options.workers or usable_cores())
    result = {
        "bench": "corpus",
        "megabytes": size / 1e6,
        "pages": card["read"],
        "articles_kept": kept,
        "cores": cores,
        "seconds": seconds,
        "megabytes_per_second": size / 1e6 / seconds,
        "articles_per_second_and_core": kept / seconds / cores,
        "library_articles_per_second_and_core": 1 / library,
        "ratio": kept / seconds / cores * library,
        "peak_memory_of_all_processes": memory.bytes,
    }
    print(f"{size / 1e6:.0f} MB of XML, {card['read']:,} pages, {kept:,} articles kept, in {seconds:.1f} s on {cores} cores")
    print(
        f"{result['megabytes_per_second']:.2f} MB/s; articles per second and core: {kept / seconds / cores:.1f}, the library "
        f"alone {1 / library:.1f}: {result['ratio']:.2f} times as many; at most {memory.bytes / 1e6:.0f} MB in all processes"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
