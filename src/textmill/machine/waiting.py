"""How OpenMP's threads wait for each other: they spin for a while, then sleep and leave their core to whoever has work.

Spinning is fast on a quiet machine. Beside a busy neighbour it is ruinous: threads spin for one that waits for the very core
on which they spin, by default for longer than a time slice of the scheduler. So they spin for a millisecond at most, and
hardly at all while a neighbour is noticed. The runtime reads the first once, as torch loads it, so it is set as textmill is
imported; what the user has set stays, and processes that are started from here inherit it.
"""

import contextlib
import ctypes
import functools
import os
import sys
import threading

CHOSEN = {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "1"}  # GNU's turns, and Intel's and LLVM's milliseconds
SETTINGS = ("OMP_WAIT_POLICY", *CHOSEN)  # each says how threads wait, the first to every runtime

_torch_was_first = False


def set_waiting() -> None:
    """Have OpenMP's threads spin for a millisecond at most, unless the environment says how they wait."""
    global _torch_was_first
    if not any(name in os.environ for name in SETTINGS):
        _torch_was_first = "torch" in sys.modules
        os.environ.update(CHOSEN)


def by_textmill() -> bool:
    """Whether threads wait as textmill has chosen, here or in a process that started this one."""
    return "OMP_WAIT_POLICY" not in os.environ and all(os.environ.get(name) == value for name, value in CHOSEN.items())


def too_late() -> bool:
    """Whether torch had been loaded before textmill could choose: then it holds in processes started from here alone."""
    return _torch_was_first


class BriefWaits:
    """Has OpenMP's threads in this process spin for a hundred turns only, for a while.

    GNU's runtime has it so where it has more threads than there are processors (libgomp's manual, GOMP_SPINCOUNT). So another
    thread of ours begins some beside those that work, which sleep. How many work isn't changed by it, and no bits are. With
    other runtimes, and where the user has said how threads wait, nothing happens.
    """

    def __init__(self) -> None:
        self._end: threading.Event | None = None

    def begin(self, working: int) -> None:
        """From now on, where so many threads work."""
        self.end()
        if by_textmill() and (runtime := _gnu_runtime()) is not None:
            self._end, begun = threading.Event(), threading.Event()
            held = runtime, working, begun, self._end
            threading.Thread(target=_hold_threads, args=held, name="brief-waits", daemon=True).start()
            begun.wait()

    def end(self) -> None:
        """No longer."""
        if self._end is not None:
            self._end.set()
            self._end = None

    def __del__(self) -> None:
        self.end()


def _hold_threads(runtime: ctypes.CDLL, working: int, begun: threading.Event, end: threading.Event) -> None:
    """Have as many of OpenMP's threads as make, with those that work, one more than there are processors; they end with this
    thread of ours, which is one of them."""
    nothing = ctypes.cast(runtime.omp_get_thread_num, ctypes.c_void_p)  # each of them has to be given something to do
    runtime.GOMP_parallel(nothing, None, max(runtime.omp_get_num_procs() - working, 0) + 2, 0)
    begun.set()
    end.wait()


@functools.cache
def _gnu_runtime() -> ctypes.CDLL | None:
    """GNU's OpenMP runtime, where torch has loaded that and no other."""
    import threadpoolctl

    loaded = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "openmp"]
    if [library["prefix"] for library in loaded] == ["libgomp"]:
        with contextlib.suppress(OSError, AttributeError):
            runtime = ctypes.CDLL(loaded[0]["filepath"])
            if runtime.GOMP_parallel and runtime.omp_get_thread_num:
                return runtime
    return None
