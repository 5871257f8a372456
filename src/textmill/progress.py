"""How far a long job is, how fast, and how long it still takes: a live line in a terminal, sparse lines in a log."""

import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

LOG_INTERVAL = 10.0  # seconds between two lines where the output is no terminal
REDRAW_INTERVAL = 0.1  # seconds between two redraws of the live line


def format_seconds(seconds: float) -> str:
    """`42 s`, `3:05 min`, `2:00:05 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} h"


def format_count(count: float) -> str:
    """`950`, `1.2 k`, `3.4 M`, `5.6 G`: three digits at most before the unit."""
    for limit, divisor, unit in ((1e3, 1, ""), (1e6, 1e3, " k"), (1e9, 1e6, " M"), (1e12, 1e9, " G")):
        if abs(count) < limit * 0.9995:
            return f"{count / divisor:.0f}{unit}" if divisor == 1 else f"{count / divisor:.3g}{unit}"
    return f"{count / 1e12:.3g} T"


def format_bytes(count: float) -> str:
    """`950 B`, `12.3 MB`."""
    return f"{format_count(count)}B" if count >= 1000 else f"{count:.0f} B"


def rate(speed: float) -> str:
    """`0.17`, `3.4`, `950`, `1.2 k`: so much a second, three digits at most."""
    return format_count(speed) if speed >= 100 else f"{speed:.3g}"


class Progress:
    """A job of `total` units (None where the total is unknown). Use it in a `with` statement.

    In a terminal one line is redrawn in place; elsewhere a line is printed every ten seconds. `say` prints a lasting
    line above the live one.
    """

    def __init__(self, label: str, total: float | None, unit: str, stream: TextIO | None = None):
        self.label, self.total, self.unit = label, total, unit
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.done = 0.0
        self.detail = ""
        self.started = self.last_shown = time.monotonic()
        self.resumed_at = 0.0

    def __enter__(self) -> "Progress":
        return self

    def start_from(self, done: float) -> None:
        """Say that `done` units were there before this process began: they don't count towards the speed."""
        self.done = self.resumed_at = done

    def advance(self, amount: float = 1, detail: str | None = None) -> None:
        """Count `amount` more units as done; `detail` replaces what stands at the line's end."""
        self.done += amount
        if detail is not None:
            self.detail = detail
        now = time.monotonic()
        if now - self.last_shown >= (REDRAW_INTERVAL if self.live else LOG_INTERVAL):
            self.last_shown = now
            self._show()

    def say(self, text: str) -> None:
        """Print a lasting line."""
        if self.live:
            self.stream.write("\r\x1b[2K")
        self.stream.write(text + "\n")
        self.stream.flush()

    def speed(self) -> float:
        """Units per second since this process began."""
        elapsed = time.monotonic() - self.started
        return (self.done - self.resumed_at) / elapsed if elapsed > 0 else 0.0

    def line(self) -> str:
        """What the live line says now."""
        speed = self.speed()
        parts = [f"{self.label}:"]
        if self.total:
            parts.append(f"{self.done / self.total:4.0%}")
        parts.append(f"{format_count(self.done)} {self.unit}, {rate(speed)}/s")
        if self.total and speed > 0 and self.done < self.total:
            parts.append(f"{format_seconds((self.total - self.done) / speed)} left")
        return "  ".join([*parts, self.detail]).rstrip()

    def _show(self) -> None:
        if self.live:
            width = shutil.get_terminal_size().columns - 1  # a wrapped line could not be redrawn in place
            self.stream.write("\r\x1b[2K" + self.line()[:width])
        else:
            self.stream.write(self.line() + "\n")
        self.stream.flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.stream.write("\r\x1b[2K")
            self.stream.flush()
