"""Files: the old thing or the new thing, never half of one; one process per folder; equal values have equal fingerprints."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import RunError
from textmill.files import atomic_file, atomic_folder, fingerprint, folder_lock, read_json, remove_partial, write_json
from textmill.progress import Progress, format_count, format_seconds


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ZeroDivisionError), atomic_file(path) as stream:
        stream.write(b"half of the new")
        raise ZeroDivisionError
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with atomic_folder(path) as folder:
        (folder / "weights").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_folder(path) as folder:
        (folder / "weights").write_text("half")
        raise ZeroDivisionError
    assert (path / "weights").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_folder(path) as folder:
        (folder / "other").write_text("new")
    assert [inner.name for inner in path.iterdir()] == ["other"]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    code = f"""
import os, signal
from textmill.files import atomic_file, atomic_folder
with atomic_folder({str(tmp_path / "model")!r}) as folder, atomic_file({str(tmp_path / "a.json")!r}) as stream:
    (folder / "weights").write_text("half")
    stream.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    remove_partial(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_lock_holds_against_another_process_and_dies_with_its_own(tmp_path: Path) -> None:
    code = f"from textmill.files import folder_lock\nwith folder_lock({str(tmp_path)!r}): print('held', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(RunError, match="another textmill process"), folder_lock(tmp_path):
        pass
    process.kill()
    process.communicate()
    with folder_lock(tmp_path):
        pass


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(RunError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=8
)


@given(st.dictionaries(st.text(), values, min_size=2), values)
def test_fingerprints(value: dict, other: object) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(list(value.items()))))
    assert (fingerprint(value) == fingerprint(other)) == (
        json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)
    )


def test_progress_in_a_log_says_how_far_and_ends_cleanly() -> None:
    stream = io.StringIO()
    with Progress("train", 1000, "tokens", stream) as progress:
        progress.start_from(500)
        progress.advance(250, "loss 3.2")
        assert progress.line().startswith("train:   75%  750 tokens") and progress.line().endswith("loss 3.2")
        progress.say("a sample")
    assert stream.getvalue() == "a sample\n"


@pytest.mark.parametrize(
    "value, text", [(0, "0"), (999, "999"), (1234, "1.23 k"), (999_700, "1 M"), (5.25e6, "5.25 M"), (2e9, "2 G")]
)
def test_counts_are_short(value: float, text: str) -> None:
    assert format_count(value) == text


@pytest.mark.parametrize("seconds, text", [(0.4, "0 s"), (59.4, "59 s"), (61, "1:01 min"), (7205, "2:00:05 h")])
def test_times_are_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
