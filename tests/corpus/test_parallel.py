"""Many processes give the bytes of one; whatever ends a worker is told, and whatever ends the builder ends the workers."""

import io
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from textmill.corpus import blocks
from textmill.corpus.build import build_corpus
from textmill.corpus.document import Document, Drop
from textmill.corpus.parallel import Batch, clean_in_order
from textmill.corpus.settings import CorpusSettings
from textmill.errors import CorpusError
from textmill.files import sha256_of_file

SETTINGS = CorpusSettings(source="a")
WORDS = ["a", "dog", "[[dog|hound]]", "{{convert|5|km}}", "then", "'''bold'''", "<ref>x</ref>", "電腦", "line\n\n"]


def write_dump(path: Path, pages: int, words: int = 60) -> Path:
    """A dump with redirects, duplicates and pages of very different lengths, the same each time."""
    random.seed(1)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write('<mediawiki xml:lang="en">')
        for number in range(pages):
            text = " ".join(random.choices(WORDS, k=random.randrange(2 * words))).replace("<", "&lt;")
            text = (
                "#REDIRECT [[A]]"
                if number % 7 == 3
                else "The same text, again and again, in a few pages." * (number % 11 == 5) or text
            )
            stream.write(
                f"<page><title>T{number}</title><ns>0</ns><id>{number}</id><revision><text>{text}</text></revision></page>"
            )
        stream.write("</mediawiki>")
    return path


def build(source: Path, folder: Path, **options: int) -> dict[str, str]:
    """Build a corpus; the hashes of its files."""
    folder.mkdir(exist_ok=True)
    build_corpus(CorpusSettings(source=str(source)), folder, io.StringIO(), **options)
    return {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}


def test_the_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    source = write_dump(tmp_path / "d.xml", 300)
    one = build(source, tmp_path / "one", workers=1, block_characters=20_000)
    assert list(one) == ["card.json", "dropped.jsonl.zst", "train.jsonl.zst", "validation.jsonl.zst"]
    assert build(source, tmp_path / "three", workers=3, block_characters=20_000) == one


def documents(count: int) -> list[Document]:
    return [
        Document(f"text {number} that is long enough to be kept, for it has fifty characters", str(number), "a")
        for number in range(count)
    ]


@pytest.fixture
def workers_now() -> Callable[[], list[psutil.Process]]:
    """The processes that were started since the test began and still are."""
    before = psutil.Process().children()
    return lambda: [child for child in psutil.Process().children() if child not in before]


def test_a_killed_worker_is_an_error_that_names_the_place(workers_now: Callable[[], list[psutil.Process]]) -> None:
    def batches() -> Iterator[Batch]:
        for number, document in enumerate(documents(40)):
            if number == 20:
                for child in workers_now():
                    child.kill()
            yield Batch([document], 0, number, False)

    with pytest.raises(CorpusError, match=r"ended from outside \((signal 9|exit code \d+).* in a .*run again"):
        list(clean_in_order(batches(), SETTINGS, 2))
    assert not workers_now()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_names_the_document(workers: int, workers_now: Callable[[], list[psutil.Process]]) -> None:
    fault = Document(None, "7", "dump.xml", "Trap")  # type: ignore[arg-type]
    batches = [Batch([document], 0, 0, False) for document in (*documents(5), fault)]
    with pytest.raises((TypeError, RuntimeError)) as caught:
        list(clean_in_order(batches, SETTINGS, workers))
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "The document was 'Trap' (7 in dump.xml)." in told
    assert not workers_now()


def test_documents_come_back_as_they_were() -> None:
    several = documents(3)
    (_, cleaned), *_ = clean_in_order([Batch([*several, Drop("1", "a", "reader", "redirect")], 0, 0, True)], SETTINGS, 2)
    assert [one.record for one in cleaned] == [*several, Drop("1", "a", "reader", "redirect")]
    assert pickle.loads(pickle.dumps(cleaned)) == cleaned


BUILD = """
import sys
from textmill.corpus import blocks
from textmill.corpus.build import build_corpus
from textmill.corpus.settings import CorpusSettings
build_corpus(CorpusSettings(source=sys.argv[1]), sys.argv[2], workers=int(sys.argv[3]), block_characters=5_000)
"""  # no main guard, on purpose


def start_build(source: Path, folder: Path, workers: int) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, str(source), str(folder), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_workers(process: subprocess.Popen[bytes], journal: Path) -> list[psutil.Process]:
    """The workers of a build, once it has finished a block or two."""
    while process.poll() is None and not (journal.is_file() and journal.read_bytes().count(b"\n") > 2):
        time.sleep(0.01)
    assert process.poll() is None, "it ended too soon: give it more to do"
    return psutil.Process(process.pid).children()


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_builder(tmp_path: Path, number: signal.Signals) -> None:
    process = start_build(write_dump(tmp_path / "d.xml", 10_000), tmp_path / "out", 2)
    workers = wait_for_workers(process, tmp_path / "out" / "building" / "journal.jsonl")
    assert len(workers) == 2
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (-number, 130) and errors.count(b"Traceback") <= 1, errors
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def test_a_killed_build_ends_with_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    source = write_dump(tmp_path / "d.xml", 1500)
    whole = build(source, tmp_path / "whole", block_characters=5_000)
    random.seed(2)
    folder, kills, taken = tmp_path / "killed", 0, []
    while True:
        process = start_build(source, folder, 1 + kills % 2)
        journal = folder / "building" / "journal.jsonl"
        before = journal.read_bytes().count(b"\n") if journal.is_file() else 0
        aim = before + random.choice([3, 10, 20])
        while process.poll() is None and not (journal.is_file() and journal.read_bytes().count(b"\n") >= aim):
            time.sleep(0.002)
        time.sleep(random.random() / 20)
        process.kill()
        process.communicate()
        ended = not (folder / "building").exists() and folder.is_dir() and any(folder.iterdir())  # it was killed too late
        if process.returncode == 0 or ended:
            break
        kills += 1
        taken.append(before)
    assert kills >= 3 and taken == sorted(taken)
    assert {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())} == whole


def test_a_build_that_ends_between_two_renames_is_published_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_dump(tmp_path / "d.xml", 40)
    whole = build(source, tmp_path / "whole")
    done = []

    def replace_once(source: Path, target: Path) -> None:
        if len(done) == 2:  # the card's, and one file's
            raise OSError("no more")
        done.append(target)
        source.rename(target)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no more"):
        patched.setattr(blocks.os, "replace", replace_once)
        build(source, tmp_path / "broken")
    assert build(source, tmp_path / "broken") == whole
