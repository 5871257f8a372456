"""One run of a comparison: its training in a process of its own, so that its memory is its own and its failure no other's.

The training is `python -m textmill run RECIPE --until train`; the stages before and after it, which cost nothing that is
compared, are done here.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ..errors import RunError, TextmillError
from ..files import is_locked, read_sealed, write_text
from ..interruption import Stopped, stop_deferred
from ..recipe import Recipe
from ..run import MANIFEST, run_recipe, stage_states

LOOK_INTERVAL = 0.1  # seconds between two looks whether a process has ended
REASON_LINES = 20  # of what a failed process said last


class FailedRun(TextmillError):
    """A run of a comparison that can't be finished. The others can."""


def is_finished(recipe: Recipe, folder: Path) -> bool:
    """Whether the run folder holds this recipe's model, trained and evaluated. It has a page once someone asks for it."""
    states = stage_states(recipe, folder)
    return all(state.startswith("done") for stage, state in states.items() if stage != "report")


def finish_run(folder: Path, recipe: Recipe, limited: Callable[[int], Recipe]) -> None:
    """Do what is missing of a run. `limited` gives the recipe under the comparison's limit, for a vocabulary of that size.

    Raises FailedRun with the reason where it can't be done, and Stopped where this process is asked to end; the same call
    goes on then.
    """
    _wait_for_other(folder)
    try:
        if stage_states(recipe, folder)["tokens"] != "done":
            run_recipe(recipe, folder, until="tokens")
        recipe = limited(_vocabulary(folder))
        if stage_states(recipe, folder)["train"] != "done":
            write_text(folder / "recipe.toml", recipe.to_toml())
            _train(folder)
        run_recipe(recipe, folder, until="evaluate")
    except FailedRun:
        raise
    except TextmillError as error:
        raise FailedRun(*error.problems) from error
    except Exception as error:  # a mistake of ours must not cost the other runs
        traceback.print_exc()
        raise FailedRun(f"{type(error).__name__}: {error}") from error


def known_vocabulary(folder: Path) -> int | None:
    """The size that the run's tokenizer turned out to have; None where it isn't there yet."""
    try:
        return _vocabulary(folder)
    except (RunError, KeyError):
        return None


def _vocabulary(folder: Path) -> int:
    return read_sealed(folder / MANIFEST)["stages"]["tokenizer"]["summary"]["vocabulary_size"]


def _wait_for_other(folder: Path) -> None:
    """A training outlives a comparison that was killed; two at a time would make each other slower."""
    if is_locked(folder):
        print(f"Another process is at work in {folder}, perhaps of a comparison that was killed: waiting for its end.")
        while is_locked(folder):
            time.sleep(LOOK_INTERVAL)


def _train(folder: Path) -> None:
    """Train in a process of its own, whose output is shown as it comes. Raises as `finish_run` does."""
    command = [sys.executable, "-m", "textmill", "run", str(folder / "recipe.toml"), "--out", str(folder), "--until", "train"]
    sys.stdout.flush()
    # In a session of its own a terminal's Ctrl-C doesn't reach it a second time, beside the one that is passed on.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
    assert process.stderr is not None
    said: list[str] = []
    listener = threading.Thread(target=_pass_on, args=(process.stderr, said), daemon=True)
    listener.start()
    with stop_deferred(lambda: None) as stop:
        passed_on = False
        while process.poll() is None:
            time.sleep(LOOK_INTERVAL)
            if stop.number and not passed_on:
                passed_on = True
                if os.name != "nt":  # there the console has told it, and a signal would end it unsaved
                    process.send_signal(stop.number)
    listener.join()
    if stop.number:
        raise Stopped(stop.number)
    if process.returncode:
        raise FailedRun(_reason(process.returncode, said))


def _pass_on(stream: TextIO, said: list[str]) -> None:
    for line in stream:
        sys.stderr.write(line)
        sys.stderr.flush()
        said[:] = [*said[1 - REASON_LINES :], line.rstrip()]


def _reason(code: int, said: list[str]) -> str:
    """Why a process failed, as it said itself."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return "; ".join(errors) or next(filter(None, reversed(said)), f"exit code {code}")
