"""Starts textmill commands for the tests: a process that has imported torch once, and forks for each.

Reads one JSON object a line: `words` of the command, `folder` to work in, files to read what is `typed` from and to write
`output` and `errors` to, what its `environment` has beside ours, and, where the command is to be killed, `run` and `kill`.
Answers with the exit status, and how many events each stage had in `run`. With `left` it answers with the process's number at
once; asked for the number as `ended`, with its exit status, null while it runs.

Each command is a process of its own that runs the whole command line; only the import is spared. `script` is a Python file
that is run in place of textmill. `kill` is [stage, n, delay, signal]: as the n-th event of that stage (its begin, then each
change of a file) is about to happen, the signal is sent, or, after a delay in seconds, wherever the process then is. If it
comes to a later stage first, it is sent there.
"""

import json
import os
import runpy
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401  which every report loads
import torch._dynamo  # noqa: F401  which every training loads

import textmill.cli
import textmill.closing
import textmill.run
import textmill.serving.server

STAGES = [stage.name for stage in textmill.run.STAGES]
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


class Watch:
    """Counts the changes of files below `run` that each stage begins, through Python's audit events."""

    def __init__(self, run: Path, kill: list[Any] | None, sealed: int):
        self.run, self.kill, self.sealed = os.path.realpath(run) + os.sep, kill, sealed
        self.stage = ""
        self.changes: Counter[str] = Counter()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "textmill.stage":
            self.stage = arguments[0]
        elif not self.stage or event not in CHANGES or not self._is_change(*arguments[:2]):
            return
        self.changes[self.stage] += 1
        self._fate()

    def _is_change(self, path: Any, mode: Any = None) -> bool:
        """A file of the run, by the main thread (the ledger's own goes by the clock), and not only read. os.open, which
        flushes to disk, has no mode and counts."""
        if not isinstance(path, str | os.PathLike) or threading.current_thread() is not threading.main_thread():
            return False
        read = isinstance(mode, str) and mode in ("r", "rb")
        return not read and os.path.abspath(os.fspath(path)).startswith(self.run)

    def _fate(self) -> None:
        if self.kill is None:
            return
        stage, number, delay, signal_number = self.kill
        if self.changes[stage] == number and delay:
            self.kill = None
            os.write(self.sealed, b"!")
        elif STAGES.index(self.stage) > STAGES.index(stage) or self.changes[stage] == number:
            self.kill = None
            os.kill(os.getpid(), signal_number)


def run_command(request: dict[str, Any], report: int) -> None:
    """What the forked process does: the command line, as `python -m textmill` would."""
    for descriptor, path in enumerate((request["typed"], request["output"], request["errors"])):
        os.dup2(os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.setsid()
    os.chdir(request["folder"])
    os.environ.update(request.get("environment", {}))
    script = request.get("script")
    sys.argv = [script or str(Path(textmill.__file__).parent / "__main__.py"), *request["words"]]
    watch = None
    if "run" in request:
        watch = Watch(Path(request["run"]), request.get("kill"), report)
        sys.addaudithook(watch)
    status = 1
    try:
        if script:
            runpy.run_path(script, run_name="__main__")
        else:
            textmill.cli.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if watch is not None:
        os.write(report, json.dumps(watch.changes).encode())
    os._exit(status)


def start(request: dict[str, Any]) -> Any:
    """Fork, and unless it is left to itself wait, and kill where the process's fate is sealed. The exit status is as subprocess
    gives it."""
    if "ended" in request:
        child, status = os.waitpid(request["ended"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if child else None
    receive, report = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        run_command(request, report)
    os.close(report)
    if request.get("left"):
        os.close(receive)
        return child
    told = os.read(receive, 1)
    if told == b"!":
        time.sleep(request["kill"][2])
        os.kill(child, request["kill"][3])
    changes = told + os.read(receive, 65536)
    os.close(receive)
    _, status = os.waitpid(child, 0)
    counted = json.loads(changes) if changes.startswith(b"{") else {}
    return {"status": os.waitstatus_to_exitcode(status), "changes": counted}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(start(json.loads(line))), flush=True)
    os._exit(0)  # what torch would tidy up is the system's to take back
