"""How OpenMP's threads wait: what its runtime really reads, asked of the runtime itself in processes of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import threadpoolctl

from textmill.machine.waiting import CHOSEN, SETTINGS

RUNTIMES = {"libgomp": "GOMP_SPINCOUNT", "libiomp": "KMP_BLOCKTIME", "libomp": "KMP_BLOCKTIME"}
LOAD = "import textmill.models.decoder"  # as any use of textmill does, command or library


def read_by_runtime(code: str, **settings: str) -> tuple[str, str]:
    """The name of this torch's runtime's setting, and what that runtime says it has read in a process that runs `code`."""
    loaded = [one["prefix"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "openmp"]
    if len(loaded) != 1 or loaded[0] not in RUNTIMES:
        pytest.skip(f"this torch's threads are of {loaded or 'its own'}, which tells nothing")
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE"} | settings
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    name = RUNTIMES[loaded[0]]
    return name, re.findall(rf"{name} ?= ?'(\d+)", done.stderr)[-1]


def test_it_is_set_before_torch_reads_it() -> None:
    name, value = read_by_runtime(LOAD)
    assert value == CHOSEN[name]


def test_what_the_user_has_set_stays() -> None:
    name, value = read_by_runtime(LOAD, OMP_WAIT_POLICY="passive")
    assert value == "0"
    assert read_by_runtime(LOAD, **{name: "77"}) == (name, "77")


def test_workers_wait_likewise(tmp_path: Path) -> None:
    (tmp_path / "loads_torch.py").write_text("import torch")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from textmill.processes import start_worker\nassert start_worker('loads_torch').wait() == 0"
    )
    name, value = read_by_runtime(code)
    assert value == CHOSEN[name]


def test_torch_that_was_loaded_first_is_told() -> None:
    code = "import torch, textmill\nfrom textmill.machine.waiting import too_late\nassert too_late()"
    name, value = read_by_runtime(code)
    assert value != CHOSEN[name]


def test_brief_waits_need_more_threads_than_processors_and_give_them_back() -> None:
    code = """
import textmill.models.decoder, psutil, sys, time
from textmill.machine.waiting import BriefWaits, _gnu_runtime
if not _gnu_runtime(): sys.exit(77)
threads = lambda: psutil.Process().num_threads()
before, waits = threads(), BriefWaits()
waits.begin(working=1)
assert threads() > before + len(psutil.Process().cpu_affinity()), (before, threads())
waits.end()
until = time.monotonic() + 20
while threads() > before and time.monotonic() < until: time.sleep(0.01)
assert threads() == before
"""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode == 77:
        pytest.skip("the runtime isn't GNU's")
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment, "OMP_WAIT_POLICY": "active"}, stderr=subprocess.PIPE
    )
    assert b"AssertionError" in done.stderr, "how threads wait is left to the user here"
