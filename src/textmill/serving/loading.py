"""What is said while models are still being loaded: not yet (503), to everybody, so that whoever spreads requests over servers
leaves this one out until it is ready."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

from . import errors

LOOK_AROUND = 0.1  # seconds between two looks at whether the models are there
PATIENCE = 1.0  # seconds that one client has for its request


@contextlib.contextmanager
def loading(listening: socket.socket) -> Iterator[None]:
    """Answer who comes to this socket, until the models are there."""
    loaded = threading.Event()
    thread = threading.Thread(target=_refuse_all, args=(listening, loaded), name="loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loaded.set()
        thread.join()
        listening.settimeout(None)


def _refuse_all(listening: socket.socket, loaded: threading.Event) -> None:
    body = json.dumps(errors.body(503, "the models are still being loaded; ask again later", code="loading")).encode()
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    head += f"x-should-retry: true\r\nretry-after-ms: 1000\r\nContent-Length: {len(body)}\r\n\r\n"
    listening.settimeout(LOOK_AROUND)
    while not loaded.is_set():
        with contextlib.suppress(OSError):  # nobody came, or who came has left
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(PATIENCE)
                connection.recv(65_536)
                connection.sendall(head.encode() + body)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65_536)  # what is unread when a line is closed takes the answer with it
