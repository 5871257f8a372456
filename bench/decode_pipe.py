"""Programs that are asked by one line of JSON at a time, and answer by one: so that two can be measured in turn.

The peer's Python runs this file too, so it uses the standard library alone.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class PeerError(Exception):
    """A program that can't do what it was asked, and what it said."""


class Worker:
    """A program of bench/, run by `python`, that was told `words` at its start."""

    def __init__(self, python: str | Path, program: str, **words: Any):
        command = [str(python), str(Path(__file__).with_name(program)), json.dumps(words)]
        threads_are_told = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        try:
            self._process = subprocess.Popen(
                command, env=threads_are_told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise PeerError(f"{python} can't be run: {error.strerror}") from error
        self.name = program
        self.about = self._answer()

    def ask(self, do: str, **words: Any) -> Any:
        """What it answers to one of its commands. Raises PeerError."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # then its answer tells
            print(json.dumps({"do": do, **words}), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"ended with {self._process.wait()} before it had answered"}
        if "error" in answer:
            raise PeerError(f"{self.name}: {answer['error']}")
        return answer["value"]


def serve(start: Callable[[dict[str, Any]], tuple[Any, Any]]) -> None:
    """Answer until nobody asks any more: `start` takes the words and gives what to tell of oneself, and an object whose methods
    are the commands. All that others print goes to the error output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(do: Callable[[], Any]) -> Any:
        try:
            value = do()
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
            sys.exit(1)
        told = value[0] if isinstance(value, tuple) else value
        print(json.dumps({"value": told}), file=answers, flush=True)
        return value

    _, commands = tell(lambda: start(json.loads(sys.argv[1])))
    for line in sys.stdin:
        words = json.loads(line)
        tell(lambda words=words: getattr(commands, words.pop("do"))(**words))


def resident_bytes() -> int:
    """What this process holds of memory now, files that are mapped into it included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
