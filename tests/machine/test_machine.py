"""What a container allows, what neighbours use, how fast things are: on files as Linux shows them, and on this machine."""

import ctypes
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from textmill.machine import memory
from textmill.machine.cgroups import Limits, cgroup_limits
from textmill.machine.cores import usable_cores
from textmill.machine.memory import give_back_libraries, peak_bytes
from textmill.machine.neighbours import Neighbours
from textmill.machine.speed import matrix_flops, memory_bytes_per_second

CPU = torch.device("cpu")


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root


@pytest.mark.parametrize(
    "membership, contents, expected",
    [
        ("0::/", {"cpu.max": "150000 100000", "memory.max": "1000000"}, Limits(1.5, 1_000_000)),
        ("0::/", {"cpu.max": "max 100000", "memory.max": "max"}, Limits()),
        ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000", "a/b/memory.max": "7"}, Limits(2.0, 7)),
        (
            "4:memory:/job\n3:cpu,cpuacct:/job",
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "50000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
             "memory/job/memory.limit_in_bytes": "5000", "memory/memory.limit_in_bytes": "9223372036854771712"},
            Limits(0.5, 5000),
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, Limits()),
        ("nonsense", {"cpu.max": ""}, Limits()),
    ],
)  # fmt: skip
def test_limits_of_control_groups(tmp_path: Path, membership: str, contents: dict[str, str], expected: Limits) -> None:
    files(tmp_path, {"membership": membership})
    assert cgroup_limits(files(tmp_path / "root", contents), tmp_path / "membership") == expected


def test_no_control_groups(tmp_path: Path) -> None:
    assert cgroup_limits(tmp_path / "nowhere", tmp_path / "nothing") == Limits()
    assert usable_cores() >= 1


def test_a_busy_neighbour_is_seen_and_ones_own_children_are_none() -> None:
    code = "import time; end = time.process_time() + 30\nwhile time.process_time() < end: pass"
    # Started by a process that ends at once, the loop is no child of ours.
    start = (
        "from subprocess import *; import sys; "
        f"print(Popen([sys.executable, '-c', {code!r}], stdout=DEVNULL, stderr=DEVNULL).pid)"
    )
    pid = int(subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True).stdout)
    neighbours = Neighbours()
    try:
        for _ in range(200):
            if pid in [process for _, process, _ in neighbours.busiest(1000)]:
                break
            time.sleep(0.1)
        assert pid in [process for _, process, _ in neighbours.busiest(1000)]
        assert neighbours.cores() > 0
    finally:
        psutil.Process(pid).kill()
    neighbours = Neighbours()
    child = subprocess.Popen([sys.executable, "-c", code])
    while psutil.Process(child.pid).cpu_times().user < 0.2:
        time.sleep(0.02)
    assert child.pid not in [process for _, process, _ in neighbours.busiest(1000)]
    child.kill()
    child.wait()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_and_memory_have_a_speed(dtype: torch.dtype) -> None:
    assert matrix_flops(CPU, dtype, seconds=0.05) > 1e6
    assert memory_bytes_per_second(CPU, seconds=0.01) > 1e6


def test_the_peak_of_memory_is_that_of_the_process_alone() -> None:
    program = "from textmill.machine.memory import peak_bytes; print(peak_bytes())"
    small = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    held = b"x" * (small + (200 << 20))
    del held
    assert peak_bytes() > small + (200 << 20)
    again = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert again < small + (100 << 20)  # not that of the process which started it


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is given back")
def test_what_is_given_back_takes_no_memory_and_is_there_again() -> None:
    x = torch.randn(64, 64)
    expected = [x @ x, torch.linalg.inv(x), torch.fft.fft(x).abs(), x.softmax(dim=-1)]
    libraries = [(begin, length) for begin, length in memory._unchanged_pages() if length < 8 << 20]
    read = [ctypes.string_at(begin, length) for begin, length in libraries]  # so that they are in memory
    before = psutil.Process().memory_info().rss
    give_back_libraries()
    assert psutil.Process().memory_info().rss < before - sum(map(len, read)) / 2
    assert [ctypes.string_at(begin, length) for begin, length in libraries] == read
    for found, again in zip([x @ x, torch.linalg.inv(x), torch.fft.fft(x).abs(), x.softmax(dim=-1)], expected, strict=True):
        assert torch.equal(found, again)
