"""The command line within the test's process, so that torch is loaded once: the real verbs, with a stream for standard
input, and the exit code as the shell would see it."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from textmill.cli import main


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and all that it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def textmill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs `textmill WORDS…` with `typed` on standard input."""

    def run(*words: object, typed: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["textmill", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    return run
