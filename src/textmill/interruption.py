"""Ctrl-C and SIGTERM: the first one ends the work in an orderly way, the second one at once.

Everything is written atomically, so that even the second loses nothing that was finished.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The process was asked to end, by the signal `number`. No Exception, so that nothing takes it for a mistake."""

    def __init__(self, number: int):
        self.number = number
        self.exit_code = 128 + number  # as a shell reports a process that the signal ended
        super().__init__(number)


@dataclass
class StopRequest:
    """The signal that asked, where one did."""

    number: int | None = None


@contextmanager
def stoppable() -> Iterator[None]:
    """Within this context the first SIGINT or SIGTERM raises Stopped, and the second ends the process."""

    def stop(number: int, _: Any) -> None:
        _default_handlers()
        raise Stopped(number)

    with _handled_by(stop):
        yield


@contextmanager
def stop_deferred(say: Callable[[], None]) -> Iterator[StopRequest]:
    """Within this context the first signal is only noted, and said, for a loop that ends when it has saved its work."""
    request = StopRequest()
    # On a thread of its own: the signal may have come in the middle of a print, and one print can't begin within another.
    saying = threading.Thread(target=say, daemon=True)

    def note(number: int, _: Any) -> None:
        _default_handlers()
        request.number = number
        saying.start()

    with _handled_by(note):
        try:
            yield request
        finally:
            if request.number:
                saying.join()


def run_stoppably(action: Callable[[], None]) -> None:
    """Do something long in which Python has no say, on another thread, so that a signal is heard at once."""
    errors: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.05)  # on Windows a wait without an end hears no Ctrl-C
    if errors:
        raise errors[0]


def _default_handlers() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def _handled_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            if signal.getsignal(number) is handler:  # else one has come, and a second ends the process, wherever it is
                signal.signal(number, old)
