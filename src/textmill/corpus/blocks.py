"""The corpus while it grows, block by block, so that a run that was killed goes on after the last finished one.

    building/  train.jsonl.zst  validation.jsonl.zst  dropped.jsonl.zst  digests  journal.jsonl

Each block appends one zstandard frame to every file and, once all of it is on the disk, one line to the journal: how long
the files are, where in the sources the block ends, what was counted. Whatever lies behind the last whole line was not
finished, and is cut off. Nothing is copied at the end: the files are renamed into their place.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..files import read_json, remove_folder, write_json
from .document import Document, Drop
from .duplicates import DIGEST_BYTES
from .store import RecordWriter
from .tally import SIDES, Tally

OUTPUTS = (*SIDES, "dropped")
_FILES = {name: f"{name}.jsonl.zst" for name in OUTPUTS} | {"digests": "digests"}


class Blocks:
    """The files of a corpus in the making, below `folder`. Use it in a `with` statement.

    `key` stands for all that the documents depend on: blocks made from something else are thrown away. On an error the
    finished blocks stay, and nothing does where there is none.
    """

    def __init__(self, folder: Path, key: str):
        self.target, self.folder, self._key = folder, folder / "building", key
        self.tally = Tally()
        self.finished_card: dict[str, Any] | None = None
        """The card, where an earlier process was killed while it published: all that is left is to publish again."""
        self.file = self.taken = 0
        """Where the last finished block ends: so many documents of so many-th file are in it or before it."""
        self.written = dict.fromkeys(OUTPUTS, 0)
        self._lengths = dict.fromkeys(_FILES, 0)
        self._of_use = False  # whether a block was finished, by this process or an earlier one
        self._open = contextlib.ExitStack()
        self._streams: dict[str, IO[bytes]] = {}
        self._writers: dict[str, RecordWriter] = {}

    def __enter__(self) -> "Blocks":
        journal = self.folder / "journal.jsonl"
        whole = self._take_over(journal) if journal.is_file() else 0
        if whole == 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        elif (self.folder / "card.json").is_file():
            self.finished_card = read_json(self.folder / "card.json")
            return self
        for name, file in {**_FILES, "journal": journal.name}.items():
            stream = self._open.enter_context(open(self.folder / file, "ab"))
            stream.truncate(whole if name == "journal" else self._lengths[name])
            self._streams[name] = stream
        if whole == 0:
            self._note({"key": self._key})
        return self

    def _take_over(self, journal: Path) -> int:
        """Read what earlier processes finished; returns the length of the journal's sound part, 0 for nothing of use."""
        whole = 0
        for number, line in enumerate(journal.read_bytes().splitlines(keepends=True)):
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                entry = None
            if entry is None:  # the process was killed while it wrote this line
                break
            if number == 0 and entry != {"key": self._key}:
                return 0
            if number:
                self._of_use = True
                self.tally.add(Tally.from_dict(entry["tally"]))
                self.file, self.taken, self._lengths, self.written = (
                    entry[name] for name in ("file", "taken", "lengths", "written")
                )
            whole += len(line)
        published = (self.folder / "card.json").is_file()  # then some files may be in their place already
        if not published and any(self._is_short(name) for name in _FILES):
            return 0  # someone took part of it away
        return whole

    def _is_short(self, name: str) -> bool:
        """Whether a file has lost something of the finished blocks."""
        path = self.folder / _FILES[name]
        return not path.is_file() or path.stat().st_size < self._lengths[name]

    def digests(self) -> Iterator[bytes]:
        """The digests of all documents that the finished blocks kept."""
        with open(self.folder / _FILES["digests"], "rb") as stream:
            while digest := stream.read(DIGEST_BYTES):
                yield digest

    def write(self, name: str, record: Document | Drop) -> None:
        """Append one record to the open block."""
        if not self._writers:
            self._writers = {name: RecordWriter(self._streams[name]) for name in OUTPUTS}
        self._writers[name].write(record)

    def finish(self, block: Tally, file: int, taken: int, digests: bytes) -> None:
        """Make the open block last: from now on no kill undoes it."""
        for name, writer in self._writers.items():
            writer.close()
            self.written[name] += writer.count
        self._writers = {}
        self._streams["digests"].write(digests)
        for name in _FILES:
            self._streams[name].flush()
            os.fsync(self._streams[name].fileno())
            self._lengths[name] = self._streams[name].tell()
        self.tally.add(block)
        self.file, self.taken = file, taken
        place = {"file": file, "taken": taken, "lengths": self._lengths, "written": self.written}
        self._of_use = True
        self._note({**place, "tally": block.to_dict()})

    def _note(self, entry: dict[str, Any]) -> None:
        self._streams["journal"].write(json.dumps(entry).encode() + b"\n")
        self._streams["journal"].flush()
        os.fsync(self._streams["journal"].fileno())

    def abandon(self) -> None:
        """Nothing can become of what was finished: the next process begins anew."""
        self._of_use = False

    def publish(self, card: dict[str, Any]) -> None:
        """Put the finished files into their place. A kill on the way is made up for by the next process."""
        self._open.close()
        write_json(self.folder / "card.json", card)
        (self.target / "card.json").unlink(missing_ok=True)  # an old card must not describe new files
        for name in OUTPUTS:
            if (self.folder / _FILES[name]).exists():
                os.replace(self.folder / _FILES[name], self.target / _FILES[name])
        write_json(self.target / "card.json", card)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # a full disk was told already, and what is written here doesn't count
            for writer in self._writers.values():
                writer.close()
        with contextlib.suppress(OSError):
            self._open.close()
        if kind is None or not self._of_use:
            remove_folder(self.folder)
