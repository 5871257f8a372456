"""A crowd at the server for minutes: many streams at once, of which many are left or broken off. Is anything lost or leaked?

    python bench/serve_soak.py [--streams 200] [--seconds 180] [--tokens 32]

Each client asks for one of a fixed set of answers, half of them sampled: half the time it reads to the end, a quarter it closes
the connection after some tokens, a quarter it breaks it off after a random time; who is refused (429) asks again when the
server says. Checked: every stream ended with a finish_reason, by its own client, or in a refusal; once all have gone the engine
has all its rows free; memory is within 5 % of what it was after every answer had been written once. Ends with 1 where that
doesn't hold. Prints a few lines, and one JSON line last.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from servers import Server, textmill
from streams import Prompts, Stream, ask, get
from textmill.machine.device import machine_name

WANTED = 64  # unlike answers, so that what is remembered of them stops growing
IDLE_SECONDS = 60.0  # within which the engine must have seen that everyone has gone
ALLOWED_GROWTH = 0.05


@dataclass(frozen=True)
class Wanted:
    """One of the answers that are asked for, the same whenever it is."""

    prompt: str
    temperature: float
    seed: int


async def crowd(server: Server, wanted: list[Wanted], streams: int, seconds: float, tokens: int) -> list[Stream]:
    """All clients at once, each asking anew until the time is over and its last stream has ended."""
    until = time.perf_counter() + seconds

    async def client(number: int) -> list[Stream]:
        chance, own = random.Random(number), []
        while time.perf_counter() < until:
            one, fate = chance.choice(wanted), chance.random()
            leave: float | int | None = None if fate < 0.5 else chance.randint(1, tokens)
            if fate > 0.75:
                leave = chance.uniform(0.01, 5.0)
            stream = await ask(server, one.prompt, tokens, leave, temperature=one.temperature, seed=one.seed)
            own.append(stream)
            if stream.end == "refused":
                await asyncio.sleep(stream.retry_seconds * chance.uniform(1, 1.5))
        return own

    return list(itertools.chain.from_iterable(await asyncio.gather(*(client(number) for number in range(streams)))))


async def warm_up(server: Server, wanted: list[Wanted], clients: int, tokens: int) -> None:
    """Every answer is written once, by so many clients at once."""
    left = list(wanted)

    async def client() -> None:
        while left:
            one = left.pop()
            await ask(server, one.prompt, tokens, temperature=one.temperature, seed=one.seed)

    await asyncio.gather(*(client() for _ in range(clients)))


async def rows_when_idle(server: Server) -> dict[str, Any]:
    """The engine's rows once it has nothing to do, or after `IDLE_SECONDS`."""
    until = time.monotonic() + IDLE_SECONDS
    while True:
        rows: dict[str, Any] = (await get(server, "/health"))["rows"][server.model]
        if (rows["free"] == rows["all"] and not rows["open"]) or time.monotonic() > until:
            return rows
        await asyncio.sleep(0.1)


def memory(server: Server) -> int:
    """Bytes that the server's process has."""
    return int(psutil.Process(server.process).memory_info().rss)


async def soak(server: Server, words: argparse.Namespace) -> dict[str, Any]:
    chance, prompts = random.Random(0), Prompts(0, long=(100, 200))
    wanted = [Wanted(prompts.next(), chance.choice((0.0, 0.8)), seed) for seed in range(WANTED)]
    for _ in range(2):  # the second finds the prompts known
        await warm_up(server, wanted, words.rows, words.tokens)
    await rows_when_idle(server)
    before = memory(server)
    streams = await crowd(server, wanted, words.streams, words.seconds, words.tokens)
    rows = await rows_when_idle(server)
    after = memory(server)
    ends = Counter(stream.end for stream in streams)
    growth = after / before - 1
    lost = ends["lost"] + sum(s.end == "finished" and s.reason not in ("stop", "length") for s in streams)
    return {
        "bench": "serve_soak",
        "machine": machine_name(torch.device("cpu")),
        "streams": words.streams,
        "seconds": words.seconds,
        "finished": ends["finished"],
        "left": ends["left"],
        "refused": ends["refused"],
        "lost": lost,
        "why_lost": sorted({stream.reason for stream in streams if stream.end == "lost"})[:3],
        "rows": rows,
        "memory_before": before,
        "memory_after": after,
        "growth": growth,
        "holds": bool(not lost and rows["free"] == rows["all"] and not rows["open"] and growth <= ALLOWED_GROWTH),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2", help="a decoder's folder, or a sample")
    parser.add_argument("--streams", type=int, default=200, help="clients at once")
    parser.add_argument("--seconds", type=float, default=180.0, help="for which they ask anew")
    parser.add_argument("--tokens", type=int, default=32, help="of each answer at most")
    parser.add_argument("--rows", type=int, default=16, help="answers that the server writes at once")
    parser.add_argument("--queue", type=int, default=128, help="that may wait there; the others are refused and come again")
    words = parser.parse_args()
    with textmill(words.model, words.rows, words.queue) as server:
        result = asyncio.run(soak(server, words))
    print(
        f"{result['finished']} finished, {result['left']} left, {result['refused']} refused, {result['lost']} lost; memory "
        f"{result['memory_before'] / 1e6:.0f} MB, then {result['memory_after'] / 1e6:.0f} MB ({result['growth']:+.1%}); "
        f"{result['rows']['free']} of {result['rows']['all']} rows free"
    )
    for reason in result["why_lost"]:
        print("lost:", reason)
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)


if __name__ == "__main__":
    main()
