"""The first signal ends the work in an orderly way, the second at once, even while Python has no say."""

import os
import signal
import subprocess
import sys

import pytest

from textmill.interruption import run_stoppably

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no os.kill for Ctrl-C of one process alone")

WORK = """
import signal, sys, threading, time
from textmill.interruption import Stopped, run_stoppably, stop_deferred, stoppable
try:
    with stoppable():
        {work}
except Stopped as stopped:
    print("orderly", flush=True)
    {after}
    sys.exit(stopped.exit_code)
"""
WAIT = "print('ready', flush=True); time.sleep(600)"


def ended(work: str, after: str = "pass", signals: tuple[int, ...] = (signal.SIGINT,)) -> tuple[int, str, str]:
    """Send the signals, each once the process has printed a line; give its exit status and what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(work=work, after=after)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for number in signals:
        process.stdout.readline()
        process.send_signal(number)
    output, errors = process.communicate()
    return process.returncode, output, errors


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_is_orderly(number: int, code: int) -> None:
    assert ended(WAIT, signals=(number,)) == (code, "orderly\n", "")
    assert ended(f"run_stoppably(lambda: ({WAIT.replace(';', ',')}))", signals=(number,)) == (code, "orderly\n", "")


def test_the_second_ends_at_once() -> None:
    status, _, errors = ended(WAIT, after="time.sleep(600)", signals=(signal.SIGINT, signal.SIGINT))
    assert status == -signal.SIGINT and not errors


def test_a_deferred_one_is_noted_and_the_second_ends_at_once() -> None:
    loop = """
        with stop_deferred(lambda: print("noted", flush=True)) as request:
            print("ready", flush=True)
            while {}: time.sleep(0.01)
            raise Stopped(request.number)
"""
    assert ended(loop.format("request.number is None"), signals=(signal.SIGTERM,)) == (143, "noted\norderly\n", "")
    assert ended(loop.format("True"), signals=(signal.SIGTERM, signal.SIGTERM))[0] == -signal.SIGTERM


def test_a_signal_in_the_middle_of_a_print_is_noted_behind_it() -> None:
    loop = """
        with stop_deferred(lambda: print("noted", flush=True)) as request:
            while request.number is None: print("line " * 1000, flush=True)
            raise Stopped(request.number)
"""
    status, output, errors = ended(loop, signals=(signal.SIGTERM,))
    assert (status, errors) == (143, "") and "noted\n" in output and output.endswith("orderly\n")


def test_a_mistake_on_the_other_thread_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        run_stoppably(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
