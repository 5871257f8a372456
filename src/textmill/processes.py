"""Programs of our own beside this one: each answers what comes by its standard input, and ends when that does.

A program rather than a child of `multiprocessing`, so that it starts alike on every system, never runs the caller's main
module again, and imports nothing but what its work needs.
"""

import contextlib
import os
import subprocess
import sys
from typing import Any


def start_worker(module: str) -> subprocess.Popen[bytes]:
    """Start `python -m module` with pipes to it, in a process group of its own, so that Ctrl-C reaches us alone and we can
    end it in order."""
    group: dict[str, Any] = {"process_group": 0}
    if sys.platform == "win32":
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # the same textmill as this one
        **group,
    )


def end_worker(process: subprocess.Popen[bytes]) -> None:
    """End a worker at once, and close its pipes."""
    process.kill()
    assert process.stdin and process.stdout
    with contextlib.suppress(OSError):  # what was not sent yet has no reader
        process.stdin.close()
    process.stdout.close()
    process.wait()
