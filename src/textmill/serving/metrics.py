"""What the server counts, for Prometheus: requests, tokens, the waits that users feel, and how full the engines are."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..inference.engine import EngineFull
from .answers import Form, Piece
from .log import Told
from .served import Served

WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Engines(Collector):
    """How full each model's engine is, read when it is asked."""

    def __init__(self, models: Mapping[str, Served]):
        self.models = models

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, each with a value for every model."""
        for name, told, attribute in [
            ("open_answers", "Answers that are waiting or being written.", "open_answers"),
            ("waiting_answers", "Answers that wait for their turn.", "waiting_answers"),
            ("rows_in_use", "Rows that answers have.", "rows_in_use"),
            ("prefix_cache_bytes", "What is remembered of prompts.", "cache_bytes"),
        ]:
            gauge = GaugeMetricFamily(f"textmill_{name}", told, labels=["model"])
            for served in self.models.values():
                gauge.add_metric([served.name], getattr(served.engine, attribute))
            yield gauge
        # Tokens a second of one answer times the first, over the second: the share of what memory allows.
        for name, told, attribute in [
            ("weight_bytes_per_token", "Bytes of weights that a pass reads.", "bytes_per_token"),
            ("memory_bytes_per_second", "What this machine's memory gives, as doctor measured it.", "memory_bytes_per_second"),
        ]:
            gauge = GaugeMetricFamily(f"textmill_{name}", told, labels=["model"])
            for served in self.models.values():
                if value := getattr(served, attribute):
                    gauge.add_metric([served.name], value)
            yield gauge


class Metrics:
    """The counters of one server."""

    def __init__(self, models: Mapping[str, Served]):
        self.registry = CollectorRegistry()
        self.registry.register(Engines(models))
        self._requests = Counter("textmill_requests", "Requests that ended.", ["path", "status"], registry=self.registry)
        self._tokens = Counter(
            "textmill_tokens", "Tokens: read, found in the prefix cache, written.", ["model", "kind"], registry=self.registry
        )
        self._first = Histogram(
            "textmill_time_to_first_token_seconds", "From the request on.", ["model"], buckets=WAITS, registry=self.registry
        )
        self._between = Histogram(
            "textmill_time_between_tokens_seconds", "Of one answer.", ["model"], buckets=WAITS, registry=self.registry
        )

    def text(self) -> bytes:
        """All of them in Prometheus' format."""
        return generate_latest(self.registry)

    def count(self, path: str, status: int, told: Told) -> None:
        """A request has ended. `path`: the route's, since a client may make up as many as it likes."""
        self._requests.labels(path, str(status)).inc()
        if told.model is not None:
            for kind, tokens in (("read", told.read), ("cached", told.cached), ("written", told.written)):
                self._tokens.labels(told.model, kind).inc(tokens)

    async def watched(self, pieces: AsyncGenerator[Piece, None], told: Told, form: Form) -> AsyncGenerator[Piece, None]:
        """The pieces as they come; their times and tokens are noted, and where they are logged their texts."""
        clock, found = asyncio.get_running_loop().time, dict[int, int]()
        before: dict[int, tuple[float, int]] = {}  # of each choice: when it last moved, and its tokens then
        try:
            async with contextlib.aclosing(pieces):
                async for index, delta in pieces:
                    now = clock()
                    moved, tokens = before.get(index, (told.began, 0))
                    if index not in before:
                        self._first.labels(told.model).observe(now - told.began)
                        found[index] = delta.cached
                        told.cached = form.cached(found)
                        told.read = form.prompt_tokens - told.cached
                    elif delta.tokens > tokens:
                        self._between.labels(told.model).observe((now - moved) / (delta.tokens - tokens))
                    before[index] = now, delta.tokens
                    told.written += delta.tokens - tokens
                    if told.said is not None:
                        told.said.answer(index, delta.text)
                    yield index, delta
        except EngineFull:
            if not before:
                told.read = 0  # nothing was, and who comes again mustn't pay for it twice
            raise
