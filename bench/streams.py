"""A client that holds many streamed answers open at once, and knows when each of their tokens came. It reads HTTP and
server-sent events itself, so that it costs little beside the server."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from servers import Server

TEXT = Path(__file__).parent.parent / "docs" / "guide.md"  # what prompts are cut from
HUNG_SECONDS = 300.0  # an answer that takes so long won't end any more

End = Literal["finished", "left", "refused", "lost"]


@dataclass
class Stream:
    """One answer. `times`: when it was asked for, and when each piece of it came, in seconds of `time.perf_counter`."""

    asked: float
    times: list[float] = field(default_factory=list)
    text: str = ""
    tokens: int | None = None  # as the server counts them
    end: End = "lost"
    reason: str = ""  # the finish_reason; where it was lost, what went wrong
    retry_seconds: float = 1.0  # that a server which refused asks for


class Prompts:
    """Pieces of English text, each begun elsewhere so that none begins like another: one in four is long."""

    def __init__(self, seed: int, short: tuple[int, int] = (20, 80), long: tuple[int, int] = (300, 600)):
        self._random, self._words = random.Random(seed), TEXT.read_text(encoding="utf-8").split()
        self._lengths, self._count = (short, long), 0

    def next(self) -> str:
        """The next prompt; every fourth has many words."""
        self._count += 1
        words = self._random.randint(*self._lengths[self._count % 4 == 0])
        start = self._random.randrange(len(self._words) - words)
        return f"{self._random.randrange(10**6)} " + " ".join(self._words[start : start + words])


async def ask(server: Server, prompt: str, tokens: int, leave_after: float | int | None = None, **body: Any) -> Stream:
    """One streamed completion, greedy unless `body` says otherwise. The client leaves, where it is to: after so many pieces
    (an integer) by closing the connection, after so many seconds (a float) by breaking it."""
    stream = Stream(time.perf_counter())
    content = {"model": server.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
    content |= {"stream_options": {"include_usage": True}} | server.body | body
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(leave_after if isinstance(leave_after, float) else HUNG_SECONDS):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            await _send(writer, server, content)
            status, headers = await _head(reader)
            if status == 429:
                stream.end, stream.retry_seconds = "refused", float(headers.get("retry-after-ms", 1000)) / 1000
                return stream
            if status != 200:
                stream.reason = f"status {status}: {(await reader.read(1000)).decode('utf-8', 'replace')}"
                return stream
            async for event in _events(reader):
                _take(stream, event)
                if isinstance(leave_after, int) and len(stream.times) >= leave_after and not stream.reason:
                    stream.end = "left"
                    return stream
            if not stream.reason:
                stream.reason = "the stream ended without a finish_reason"
    except TimeoutError:
        if isinstance(leave_after, float):
            stream.end = "left"
            if writer is not None:
                writer.transport.abort()
        else:
            stream.reason = f"no end after {HUNG_SECONDS:.0f} s"
    except (OSError, EOFError, ValueError) as error:
        stream.end, stream.reason = "lost", f"{type(error).__name__}: {error}"
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return stream


async def get(server: Server, path: str) -> Any:
    """What a GET of JSON gives."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nConnection: close\r\n\r\n".encode())
    _, headers = await _head(reader)
    content = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return json.loads(content)


async def _send(writer: asyncio.StreamWriter, server: Server, content: dict[str, Any]) -> None:
    payload = json.dumps(content).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload)
    await writer.drain()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.split(":", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value.strip() for name, value in headers.items()}


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """The events of a body in chunks."""
    held = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        held += (await reader.readexactly(size + 2))[:-2]
        *whole, held = held.split(b"\n\n")
        for event in whole:
            if event.startswith(b"data: ") and event != b"data: [DONE]":
                yield json.loads(event[6:])


def _take(stream: Stream, event: dict[str, Any]) -> None:
    """Take in what an event tells."""
    if "error" in event:
        stream.end, stream.reason = "lost", f"error: {event['error']}"
        return
    for choice in event.get("choices", ()):
        if choice.get("text"):
            stream.times.append(time.perf_counter())
            stream.text += choice["text"]
        if choice.get("finish_reason"):
            stream.end, stream.reason = "finished", choice["finish_reason"]
    if event.get("usage"):
        stream.tokens = event["usage"]["completion_tokens"]
