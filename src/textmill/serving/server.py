"""From loaded models to a process that answers: the socket, the keys, the start and the orderly end."""

import hashlib
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from ..errors import GenerationError
from ..formats.model_folder import ModelFolder
from .app import create_app
from .connection import Connection
from .limits import Limits
from .served import Served

SWITCH_SECONDS = 0.0005  # after which the event loop lets the engine go on; Python's 5 ms are the time of a token
DRAIN_SECONDS = 30  # that open answers have, after SIGTERM or Ctrl-C
SHORTEST_KEY = 16  # characters


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address. Raises GenerationError where it can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(1024)
    except OSError as error:
        raise GenerationError(
            f"can't listen at {host}:{port}: {error.strerror or error}; give another --port or --host"
        ) from error
    return found


def read_keys(path: Path) -> list[bytes]:
    """The SHA-256 of each key in a file, one a line. Raises GenerationError for a file without keys, and for short ones."""
    try:
        keys = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise GenerationError(f"can't read the keys in {path}: {getattr(error, 'strerror', None) or error}") from error
    if not keys:
        raise GenerationError(f"{path} has no keys; write one a line")
    if short := sum(len(key) < SHORTEST_KEY for key in keys):
        raise GenerationError(
            f"{path}: {short} of {len(keys)} keys have fewer than {SHORTEST_KEY} characters; make longer ones"
        )
    return [hashlib.sha256(key.encode()).digest() for key in keys]


def run(
    listening: socket.socket,
    folders: Mapping[str, ModelFolder],
    key_hashes: list[bytes],
    rows: int,
    queue: int,
    limits: Limits,
    deadline: float | None,
    patience: float,
    draft: ModelFolder | None = None,
    log_prompts: bool = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; then open answers are finished, within `DRAIN_SECONDS`. `draft` guesses for
    every model; with `log_prompts` the log tells what was asked and answered. Raises GenerationError where it can't."""
    sys.setswitchinterval(SWITCH_SECONDS)
    now = int(time.time())
    models = {name: Served(name, folder, now, rows, queue, draft) for name, folder in folders.items()}
    host, port, *_ = listening.getsockname()
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print(f"serving {', '.join(models)} at {address}/v1, with a page at {address} (Ctrl-C ends)", flush=True)
    for name, served in models.items():
        print(f"{name} is read by {served.read_by}", flush=True)
    config = uvicorn.Config(
        create_app(models, key_hashes, limits, deadline, log_prompts),
        http=Connection.with_patience(patience),
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
        h11_max_incomplete_event_size=64_000,
    )
    uvicorn.Server(config).run(sockets=[listening])
