"""The servers that `serve_load.py` and `serve_soak.py` ask, each in a process of its own and with a port of its own.

All hold the same weights and use as many threads. Each is a context manager that gives a `Server`, and raises
`NotRun` with what it said where it doesn't start.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from textmill.machine.cores import usable_cores

START_SECONDS = 120.0
LLAMA_CPP = """
import sys, threading, xllamacpp
path, streams, context, threads, flash = sys.argv[1], *map(int, sys.argv[2:])
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames, params.verbosity = path, 0, ["127.0.0.1"], -1
params.n_parallel, params.n_ctx, params.cont_batching = streams, streams * context, True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
kinds = xllamacpp.llama_flash_attn_type
params.flash_attn_type = kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = xllamacpp.Server(params)
print("at", server.listening_address, flush=True)
threading.Event().wait()
"""


class NotRun(Exception):
    """A server that can't be had here, and why."""


@dataclass(frozen=True)
class Server:
    """Where a server listens, the name of its model, and what a request must say besides so that an answer doesn't end
    before it has all its tokens."""

    name: str
    host: str
    port: int
    model: str
    process: int
    body: dict[str, Any] = field(default_factory=dict)


@contextmanager
def textmill(
    model: str, rows: int, queue: int, end_ids: frozenset[int] = frozenset(), weights: str = "float32"
) -> Iterator[Server]:
    """Our own. The tokens `end_ids` are made so unlikely that no answer ends with them."""
    name = Path(model).name.removeprefix("sample:")
    words = [sys.executable, "-m", "textmill", "serve", model, "--port", "0", "--rows", str(rows), "--queue", str(queue)]
    words += ["--weights", weights] if weights != "float32" else []
    body = {"logit_bias": {str(token): -100 for token in sorted(end_ids)}} if end_ids else {}
    with _running(words) as (process, said):
        host, port = _told_address(process, said)
        yield Server("textmill", host, port, name, process.pid, body)


@contextmanager
def llama_cpp(gguf: Path, streams: int, context: int, flash: bool) -> Iterator[Server]:
    """llama.cpp's own HTTP server, of the package xllamacpp, with continuous batching and `context` tokens for each stream."""
    numbers = streams, context, usable_cores(), int(flash)
    body = {"ignore_eos": True, "top_k": 0, "top_p": 1, "min_p": 0}  # draws from the whole distribution, as ours does
    with _running([sys.executable, "-c", LLAMA_CPP, str(gguf), *map(str, numbers)]) as (process, said):
        host, port = _told_address(process, said)
        yield Server("llama.cpp-flash" if flash else "llama.cpp", host, port, gguf.name, process.pid, body)


@contextmanager
def transformers(folder: Path) -> Iterator[Server]:
    """`transformers serve` with what it does without being asked, which needs the package accelerate."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1"]
    words += ["--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with _running(words) as (process, said):
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise NotRun(_last_line(said)) from None
                time.sleep(0.2)
        yield Server("transformers", "127.0.0.1", port, str(folder), process.pid)


@contextmanager
def _running(words: list[str]) -> Iterator[tuple[subprocess.Popen[str], IO[bytes]]]:
    """A program, and the file with what it says of its troubles; it is ended at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    environment |= {"HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            yield process, said
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _told_address(process: subprocess.Popen[str], said: IO[bytes]) -> tuple[str, int]:
    """Where it says that it listens."""
    assert process.stdout
    for line in process.stdout:
        for word in line.split():
            if word.startswith("http://"):
                address = urlsplit(word)
                assert address.hostname and address.port
                return address.hostname, address.port
    process.wait()
    raise NotRun(_last_line(said))


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "it ended without a word"
