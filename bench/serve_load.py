"""The server under load: tokens a second, and how long one waits for the first token and between two, beside other servers.

    python bench/serve_load.py [--streams 16] [--seconds 60] [--tokens 128] [--temperature 0]
                               [--weights float32] [--peers llama.cpp,llama.cpp-flash,transformers]

First `--streams` clients, each of which asks again when it has its answer (closed loop), one server after the other, `--rounds`
times; then requests that come when they come (open loop, Poisson), at shares of what ours wrote with all clients at work. The
clients are this process, the servers others. Everyone holds the same weights, in float32, or with `--weights int8` ours in
eight bits and llama.cpp's in Q8_0, and gets the same prompts, a quarter of them long; answers have all their tokens, and are
greedy unless `--temperature` says otherwise: greedy ones repeat themselves, which ours guesses by. Prints a table, and one
JSON line last. `transformers serve` needs the package accelerate; who doesn't start is named.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from servers import NotRun, Server, llama_cpp, textmill, transformers
from streams import Prompts, Stream, ask
from textmill import load
from textmill.machine.device import machine_name

PEERS = ("llama.cpp", "llama.cpp-flash", "transformers")
GGUF_TYPES = {"float32": "F32", "int8": "Q8_0"}  # of equal precision
CONTEXT = 2048  # tokens of each of llama.cpp's streams: the longest prompt and its answer
SETTLING = 0.25  # of a measurement, before it counts


async def closed_loop(
    server: Server, streams: int, seconds: float, tokens: int, temperature: float, seed: int
) -> tuple[list[Stream], float]:
    """Clients that always wait for an answer; gives the streams, and when counting began."""
    prompts, began = Prompts(seed), time.perf_counter()
    until = began + seconds * (1 + SETTLING)

    async def client() -> list[Stream]:
        own = []
        while (left := until - time.perf_counter()) > 0:
            own.append(await ask(server, prompts.next(), tokens, leave_after=left, temperature=temperature))
        return own

    clients = await asyncio.gather(*(client() for _ in range(streams)))
    return list(itertools.chain.from_iterable(clients)), began + seconds * SETTLING


async def open_loop(
    server: Server, rate: float, seconds: float, tokens: int, temperature: float, seed: int
) -> tuple[list[Stream], float]:
    """Requests that come at random, `rate` a second, whatever became of those before them."""
    prompts, arrivals, began = Prompts(seed), random.Random(seed), time.perf_counter()
    until, when, asked = began + seconds * (1 + SETTLING), began, []
    while (when := when + arrivals.expovariate(rate)) < until:
        await asyncio.sleep(max(0.0, when - time.perf_counter()))
        left = until - time.perf_counter()
        one = ask(server, prompts.next(), tokens, leave_after=max(left, 0.001), temperature=temperature)
        asked.append(asyncio.create_task(one))
    return list(await asyncio.gather(*asked)), began + seconds * SETTLING


def figures(measured: list[tuple[list[Stream], float]], seconds: float) -> dict[str, Any]:
    """What the streams of some measurements of `seconds` each tell. Times are in milliseconds."""
    streams = [stream for each, _ in measured for stream in each]
    whole = [stream for stream in streams if stream.end == "finished" and stream.tokens and stream.times]
    # Now and then a piece is two tokens, where the first was half a character.
    a_piece = sum(s.tokens or 0 for s in whole) / max(1, sum(len(s.times) for s in whole)) or 1.0
    firsts, gaps, pieces = [], [], 0
    for each, began in measured:
        for stream in each:
            times = [moment for moment in stream.times if began <= moment < began + seconds]
            pieces += len(times)
            gaps += np.diff(times).tolist()
            if times and times[0] == stream.times[0]:
                firsts.append(times[0] - stream.asked)
    ends = [stream.end for stream in streams]
    first, gap = (_percentiles(values) for values in (firsts, gaps))
    return {
        "tokens_per_second": pieces * a_piece / (seconds * len(measured)),
        "first_token_ms": first,
        "between_tokens_ms": gap,
        "p99_under_3_p50": bool(gap["p99"] < 3 * gap["p50"]),
        "answers": ends.count("finished"),
        "refused": ends.count("refused"),
        "lost": ends.count("lost"),
        "why_lost": sorted({stream.reason for stream in streams if stream.end == "lost"})[:3],
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99]) * 1e3 if values else (0.0, 0.0)
    return {"p50": float(p50), "p99": float(p99)}


def show(name: str, load_name: str, found: dict[str, Any]) -> None:
    first, gap = found["first_token_ms"], found["between_tokens_ms"]
    print(
        f"{name:<16}{load_name:<14}{found['tokens_per_second']:8.1f} tokens/s   "
        f"first {first['p50']:7.0f} {first['p99']:7.0f} ms   "
        f"between {gap['p50']:6.0f} {gap['p99']:6.0f} ms   {found['answers']:4} answers, {found['refused']} refused, "
        f"{found['lost']} lost",
        flush=True,
    )


def export(model: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "textmill", "export", model, *words], check=True, stdout=subprocess.DEVNULL)


def start(peers: list[str], words: argparse.Namespace, folder: Path, stack: contextlib.ExitStack) -> tuple[list[Server], Any]:
    """Ours and the others that start, and why the rest doesn't."""
    end_ids = load(words.model).tokenizer.end_ids
    ours = textmill(words.model, words.streams, 4 * words.streams, end_ids, words.weights)
    servers, not_run = [stack.enter_context(ours)], {}
    gguf, stock = folder / "model.gguf", folder / "stock"
    for name in peers:
        try:
            if name == "transformers":
                export(words.model, "--out", str(stock), "--dtype", "float32")
                servers.append(stack.enter_context(transformers(stock)))
            else:
                if not gguf.exists():
                    export(words.model, "--to", "gguf", "--dtype", GGUF_TYPES[words.weights], "--out", str(gguf))
                servers.append(stack.enter_context(llama_cpp(gguf, words.streams, CONTEXT, name.endswith("flash"))))
        except NotRun as error:
            not_run[name] = str(error)
            print(f"{name} doesn't run: {error}")
    return servers, not_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2", help="a decoder's folder, or a sample")
    parser.add_argument("--streams", type=int, default=16, help="clients at once, and rows of each server")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--temperature", type=float, default=0.0, help="of the distribution that answers are drawn from")
    parser.add_argument("--weights", choices=GGUF_TYPES, default="float32", help="numbers of the weights, ours and llama.cpp's")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each with all clients, in turn")
    parser.add_argument("--loads", default="0.5,0.75,1,1.25", help="of the open loop, as shares of ours with all clients")
    parser.add_argument("--peers", default=",".join(PEERS), help="which of them, separated by commas; empty: none")
    words = parser.parse_args()
    peers = [name for name in words.peers.split(",") if name]
    if unknown := set(peers) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers, not_run = start(peers, words, Path(folder), stack)
        for server in servers:  # the first request of all pays for what is made once
            asyncio.run(ask(server, "Once", 2))
        asked = words.seconds, words.tokens, words.temperature
        taken: dict[str, list[tuple[list[Stream], float]]] = {server.name: [] for server in servers}
        for number in range(words.rounds):
            for server in servers:
                taken[server.name].append(asyncio.run(closed_loop(server, words.streams, *asked, number)))
        closed = {name: figures(measured, words.seconds) for name, measured in taken.items()}
        for name, found in closed.items():
            show(name, f"{words.streams} clients", found)
        capacity = closed["textmill"]["tokens_per_second"] / words.tokens  # answers a second
        rising: dict[str, dict[str, Any]] = {server.name: {} for server in servers}
        for share in filter(None, words.loads.split(",")):
            for server in servers:
                measured = asyncio.run(open_loop(server, float(share) * capacity, *asked, seed=99))
                rising[server.name][share] = found = figures([measured], words.seconds)
                show(server.name, f"{float(share) * capacity:.2f} a second", found)
    peer = max((closed[name]["tokens_per_second"] for name in closed if name.startswith("llama.cpp")), default=None)
    result = {
        "bench": "serve_load",
        "machine": machine_name(torch.device("cpu")),
        "streams": words.streams,
        "temperature": words.temperature,
        "weights": words.weights,
        "closed": closed,
        "open": rising,
        "times_llama_cpp": closed["textmill"]["tokens_per_second"] / peer if peer else None,  # the faster of both
        "p99_under_3_p50": closed["textmill"]["p99_under_3_p50"],
        "lost": sum(found["lost"] for found in [closed["textmill"], *rising["textmill"].values()]),
        "not_run": not_run,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
