"""A process that cleans documents for another one: batches come in by standard input, what became of them goes out.

It imports nothing but what cleaning needs, and ends when its input does, so also when the process that started it is
killed (see processes.py).
"""

import contextlib
import pickle
import sys
import traceback

from .cleaning import Cleaner


def work() -> None:
    """Answer each batch with `(results, "")`, or with `(None, stack trace)`. The first message is what a Cleaner is made of."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not come between the answers
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # nobody is there any more
        clean = Cleaner(*pickle.load(requests))
        while True:
            found = pickle.load(requests)
            cleaned, failure = None, ""
            try:
                cleaned = clean(found)
            except Exception:
                failure = traceback.format_exc()
            pickle.dump((cleaned, failure), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


if __name__ == "__main__":
    work()
