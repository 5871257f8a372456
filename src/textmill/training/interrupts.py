"""Ctrl-C and SIGTERM: asked to stop, a training finishes its step and saves."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..progress import Progress


@contextmanager
def asked_to_stop(progress: Progress) -> Iterator[threading.Event]:
    """Set on Ctrl-C or SIGTERM, so that the step at hand is finished and saved; a second Ctrl-C stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals reach the main thread alone
        return

    def ask(*_: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        progress.say("Finishing this step and saving …")

    handlers = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
