"""The command line: each verb parses its words, calls one function and prints.

Nothing heavy is imported before a verb needs it, so that --help answers at once.
"""

import atexit
import gc
import io
import sys

from ..errors import TextmillError
from ..interruption import Stopped
from . import (  # noqa: F401  (each adds its verbs to the app)
    batch,
    bench,
    compare,
    encoders,
    evaluate,
    inspect,
    judge,
    life,
    machine,
    models,
    report,
    serve,
    tasks,
    transfer,
    vectors,
)
from .app import app

RARELY = 50_000  # new objects between two searches for cycles: what loading torch makes all stays


def main() -> None:
    """Run the command line. A user's mistake is told in plain words, with exit code 2."""
    gc.set_threshold(RARELY)
    atexit.register(gc.freeze)  # what is there goes with the process: looking for cycles in it took half a second
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sample's character that a terminal can't show ends no training
    try:
        app()
    except TextmillError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; nothing that was finished before is lost", file=sys.stderr)
        sys.exit(2)
