"""Writing so that a power cut leaves the old thing or the new thing; hashing; one process per run folder.

Everything is written under a temporary name beside its place, flushed to disk, then renamed.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import filelock

from .errors import RunError, TextmillError
from .progress import format_count

# Why a file can take no more, by the system's error number.
FULL = {
    errno.ENOSPC: "no room is left on its disk",
    getattr(errno, "EDQUOT", None): "your quota on its disk is used up",
    errno.EFBIG: "the system allows no larger file (see `ulimit -f`)",
    112: "no room is left on its disk",  # as Windows numbers it
}
LARGEST_FOREIGN_JSON = 1 << 24  # bytes; the largest configurations and lists of weights have a few million
WINDOWS_TRIES, WINDOWS_PAUSE = 20, 0.05  # a virus scanner or an indexer may hold a file open for a moment


def _flush_to_disk(path: Path) -> None:
    """fsync a file or, where the system allows it, a folder."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows flushes only what it may write
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _replace(source: Path, target: Path) -> None:
    """Rename, and on Windows try again for a second while another program holds the target open."""
    for tries_left in reversed(range(WINDOWS_TRIES if os.name == "nt" else 1)):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if not tries_left:
                raise
            time.sleep(WINDOWS_PAUSE)


@contextlib.contextmanager
def _room(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn a full disk into a RunError that says so; at once where `needed` bytes don't fit. What was there before stays."""
    if (free := shutil.disk_usage(path.parent).free) < needed:
        raise RunError(f"{path} can't be written: it needs {format_count(needed)}B, and {format_count(free)}B {_GO_ON}")
    try:
        yield
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))  # safetensors passes the system's number on as text
        number = int(found[1]) if found else getattr(error, "errno", None)
        if number not in FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        wanted = f", {format_count(needed)}B were needed" if needed else ""
        raise RunError(f"{path} can't be written: {FULL[number]}{wanted}, and {format_count(free)}B {_GO_ON}") from error


_GO_ON = "are free there. Make room, and run the same command again: what was finished before is kept, and gone on from"


@contextlib.contextmanager
def atomic_file(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears under `path` only once the block has ended without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}  # the same bytes on every system
    try:
        with _room(path), open(temporary, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _replace(temporary, path)
        _flush_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path, needed: int = 0) -> Iterator[Path]:
    """Give a fresh folder that takes the place of `path` only once the block has ended without an error.

    Raises RunError where the disk is full; before anything is written, where `needed` bytes, if known, don't fit.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    replaced = path.with_name(f".{path.name}.{os.getpid()}.replaced")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _room(path, needed):
            temporary.mkdir()
            yield temporary
            for inner in temporary.rglob("*"):
                _flush_to_disk(inner)
            _flush_to_disk(temporary)
        if path.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            _replace(path, replaced)
        _replace(temporary, path)
        _flush_to_disk(path.parent)
    finally:
        if replaced.exists() and not path.exists():
            _replace(replaced, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder so that it is there whole or not at all, even if the process is killed on the way."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(hidden, ignore_errors=True)
    _replace(path, hidden)
    shutil.rmtree(hidden)


def remove_partial(folder: str | Path) -> None:
    """Sweep what killed processes left half-written below `folder`. Call it while holding the folder's lock.

    A folder that was killed between giving way and being replaced is put back.
    """
    for replaced in list(Path(folder).rglob(".*.replaced")):
        original = replaced.with_name(replaced.name[1:].rsplit(".", 2)[0])
        if not original.exists():
            _replace(replaced, original)
    for leftover in [*Path(folder).rglob(".*.partial"), *Path(folder).rglob(".*.replaced")]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_file(path, "w") as stream:
        stream.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, _rendered(value))


def _rendered(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a broken one is a RunError that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not valid JSON ({error}); delete it, and run again to have it made anew") from error


def strict_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError where it isn't JSON, or a name stands twice in one object: readers differ in
    which of the two they take. RecursionError where it is too deep."""
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice!r:.80} stands twice in one object")
    return found


def read_foreign_json(path: Path, error: type[TextmillError]) -> Any:
    """A small JSON file of someone's, read with distrust. Raises `error` where it can't be read, or is no `strict_json`."""
    try:
        if (size := path.stat().st_size) > LARGEST_FOREIGN_JSON:
            raise error(f"{path} has {size:,} bytes, more than {LARGEST_FOREIGN_JSON:,}, which is no configuration")
        value = strict_json(path.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate, which JSON can spell, is a ValueError here
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is not valid JSON ({problem!s:.200}); fetch or make it anew") from problem
    return value


def write_sealed(path: str | Path, value: dict[str, Any]) -> dict[str, Any]:
    """Write a JSON object with its own fingerprint in it, atomically, so that no byte of it can change unnoticed."""
    sealed = {**value, "fingerprint": fingerprint(value)}
    write_json(path, sealed)
    return sealed


def read_sealed(path: str | Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises RunError where the file is missing or any byte of it isn't as it was written."""
    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path} is missing")
    sealed = read_json(path)
    if not isinstance(sealed, dict) or _rendered(sealed).encode(errors="surrogatepass") != path.read_bytes():
        raise RunError(f"{path} is not as it was written")
    if sealed.get("fingerprint") != fingerprint({key: value for key, value in sealed.items() if key != "fingerprint"}):
        raise RunError(f"{path} was changed after it was written: its fingerprint is that of other content")
    return sealed


def sha256_of_file(path: str | Path) -> str:
    """The file's SHA-256, in hexadecimal, read in bounded memory."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """The SHA-256 of a JSON value, the same for equal values whatever the order of their keys."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@contextlib.contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Hold `folder` for this process alone. The system frees the lock of a killed process."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise RunError(
            f"another textmill process is at work in {folder}; wait until it ends, or give another folder with --out"
        ) from error
    except OSError as error:
        raise RunError(f"cannot write in {folder}: {error.strerror}; give a folder of your own with --out") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: str | Path) -> bool:
    """Whether another process holds `folder` just now. Only looks: nothing is made where nobody ever held it."""
    lock = Path(folder) / ".lock"
    if not lock.is_file():
        return False
    try:
        with filelock.FileLock(lock, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a folder that only others may write to
        return False
