"""Commands as a user starts them, each a process of its own, sooner than by a new Python each time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a command ended. `changes`: how many changes of files each stage had, where it came to its end."""

    returncode: int
    stdout: str
    stderr: str
    changes: dict[str, int] = field(default_factory=dict)


class Left:
    """A command that goes on in a process of its own, by its number; `ended` asks for its exit status."""

    def __init__(self, pid: int, ended: Callable[[], int | None], output: Path, errors: Path):
        self.pid, self.output, self.errors, self._ended = pid, output, errors, ended

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something that it does; that it ends before is a failure."""
        while not happened():
            assert self._ended() is None, self.errors.read_text(encoding="utf-8")
            time.sleep(0.01)

    def first_line(self) -> str:
        """What it said first."""
        self.until(lambda: self.output.read_text(encoding="utf-8").endswith("\n"))
        return self.output.read_text(encoding="utf-8").splitlines()[0]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal, and wait for its exit status."""
        os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        ends = time.monotonic() + 60
        while (status := self._ended()) is None:
            if time.monotonic() > ends:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(self.errors.read_text(encoding="utf-8"))
            time.sleep(0.01)
        return status


class Starter:
    """Starts `textmill WORDS`, or a `script`: by tests/starter.py where the system can fork, else by a new Python."""

    def __init__(self, scratch: Path):
        self.scratch, self._count = scratch, 0
        self._process = None
        if hasattr(os, "fork"):
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("starter.py"))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
            )  # fmt: skip

    def __call__(
        self,
        folder: Path,
        *words: object,
        script: Path | None = None,
        typed: str = "",
        environment: dict[str, str] | None = None,
        **more: Any,
    ) -> Ended:
        """Wait for its end. `run`, `kill`: as tests/starter.py says."""
        request = self._request(folder, words, script)
        Path(request["typed"]).write_text(typed, encoding="utf-8")
        if self._process is None:
            command = _python(words, script)
            ended = subprocess.run(
                command, cwd=folder, input=typed, capture_output=True, text=True, encoding="utf-8",
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
            return Ended(ended.returncode, ended.stdout, ended.stderr)
        answer = self._ask({**request, "environment": environment or {}, **more})
        output, errors = (Path(request[name]).read_text("utf-8", errors="replace") for name in ("output", "errors"))
        return Ended(answer["status"], output, errors, answer["changes"])

    def leave(self, folder: Path, *words: object) -> Left:
        """Let it go on."""
        request = self._request(folder, words, None)
        output, errors = Path(request["output"]), Path(request["errors"])
        if self._process is None:
            with output.open("w") as out, errors.open("w") as err:
                process = subprocess.Popen(_python(words, None), cwd=folder, stdout=out, stderr=err)
            return Left(process.pid, process.poll, output, errors)
        Path(request["typed"]).touch()
        output.touch()
        pid = self._ask({**request, "left": True})
        known: list[int] = []

        def ended() -> int | None:
            if not known and (status := self._ask({"ended": pid})) is not None:
                known.append(status)
            return known[0] if known else None

        return Left(pid, ended, output, errors)

    def _request(self, folder: Path, words: tuple[object, ...], script: Path | None) -> dict[str, Any]:
        self._count += 1
        files = {name: str(self.scratch / f"{name}-{self._count}") for name in ("typed", "output", "errors")}
        return {"words": [*map(str, words)], "script": script and str(script), "folder": str(folder), **files}

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """No more will be started."""
        if self._process is not None:
            self._process.communicate()


def _python(words: tuple[object, ...], script: Path | None) -> list[str]:
    return [sys.executable, *([str(script)] if script else ["-m", "textmill"]), *map(str, words)]
