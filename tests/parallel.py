"""How `make test` shares the suite among processes: how many there are, how many threads each has, which files begin.

A file's tests stay together, in their order, so that what a file shares is made once. Without `-n` all is one process.
"""

import os

import psutil
import pytest
import torch

from textmill.machine.cores import usable_cores
from textmill.machine.memory import memory_bytes

MEMORY = 2 << 30  # bytes a process may come to hold: torch, transformers, a real small model and the commands it starts
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
MOST = 8  # processes: each makes anew what the whole suite shares
LONGEST = ("endtoend", "test_examples.py", "report", "formats", "machine", "serving")  # folders and files below tests/
THREADS = max(1, torch.get_num_threads() // PROCESSES)  # of torch in a test that chooses none


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One for each core that may be used, as far as the memory goes."""
    memory = min(memory_bytes(torch.device("cpu")), psutil.virtual_memory().available)
    return max(1, min(MOST, usable_cores(), memory // MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin, so that no process is left alone with one at the end."""

    def rank(item: pytest.Item) -> int:
        name = item.nodeid.partition("::")[0].split("/")[1]
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=rank)
