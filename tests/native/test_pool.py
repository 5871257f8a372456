"""The threads of a pool wait for each other, however they are held up, and sleep where there is nothing to do."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from textmill.native.library import Pool
from textmill.native.packing import pack, product

pytestmark = [
    pytest.mark.usefixtures("instruction_set"),
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="there is no /proc to find a pool's threads in"),
]
OUTPUTS, INPUTS = 300, 64


def threads_now() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/task").iterdir()}


def pool_of(threads: int, briefly: bool) -> tuple[Pool, set[int]]:
    """With those of its threads that aren't the caller's."""
    Pool(2)  # a sanitizer begins a thread of its own with the first
    before = threads_now()
    pool = Pool(threads, briefly)
    own = threads_now() - before
    assert len(own) == threads - 1
    return pool, own


def products(pool: Pool, rows: int, times: int) -> list[Tensor]:
    """As many, each of other numbers and of as many rows."""
    torch.manual_seed(0)
    packed = pack(torch.randn(OUTPUTS, INPUTS), None, "int8")
    return [product(pool, packed, torch.randn(rows, INPUTS)) for _ in range(times)]


@contextmanager
def busy_neighbour(core: int) -> Iterator[None]:
    """A program that keeps one core busy meanwhile."""
    code = f"import os\nos.sched_setaffinity(0, [{core}])\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as neighbour:
        assert neighbour.stdout
        neighbour.stdout.readline()
        try:
            yield
        finally:
            neighbour.kill()


@pytest.mark.parametrize("briefly", [False, True])
@pytest.mark.parametrize("rows", [1, 9])  # made ready by each thread for itself, and shared out
def test_a_thread_that_hardly_gets_a_core_changes_nothing(rows: int, briefly: bool) -> None:
    core = min(os.sched_getaffinity(0))
    expected = products(Pool(1), rows, 12)
    pool, (held_up,) = pool_of(2, briefly)
    os.sched_setaffinity(held_up, [core])
    os.setpriority(os.PRIO_PROCESS, held_up, 5)
    with busy_neighbour(core):
        assert all(map(torch.equal, products(pool, rows, 12), expected))


@pytest.mark.parametrize("briefly", [False, True])
def test_many_threads_on_one_core_take_turns(briefly: bool) -> None:
    pool, own = pool_of(5, briefly)
    for thread in own:
        os.sched_setaffinity(thread, [min(os.sched_getaffinity(0))])
    assert all(map(torch.equal, products(pool, 9, 12), products(Pool(1), 9, 12)))


@pytest.mark.parametrize("briefly", [False, True])
def test_threads_sleep_where_there_is_nothing_to_do(briefly: bool) -> None:
    pool, own = pool_of(3, briefly)
    products(pool, 1, 3)
    until = time.monotonic() + 20
    asleep: set[int] = set()
    while asleep != own and time.monotonic() < until:
        states = {thread: Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[0] for thread in own}
        asleep = {thread for thread, state in states.items() if state == "S"}
    assert asleep == own
    assert len(products(pool, 1, 3)) == 3, "they wake up again"
