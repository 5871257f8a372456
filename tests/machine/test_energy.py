"""The energy meter on folders as Linux lays them out, and on real processes' CPU time."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from textmill.machine.energy import CpuClock, Meter, Rapl, Usage

BUSY = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass"


def zone(powercap: Path, folder: str, name: str, microjoules: int, wraps_at: int = 1_000_000_000) -> Path:
    """One RAPL zone, as files."""
    path = powercap / folder
    path.mkdir(parents=True, exist_ok=True)
    for file, value in {"name": name, "energy_uj": microjoules, "max_energy_range_uj": wraps_at}.items():
        (path / file).write_text(f"{value}\n")
    return path / "energy_uj"


def test_packages_and_memory_are_added_and_nothing_counts_twice(tmp_path: Path) -> None:
    counters = {
        "intel-rapl:0": ("package-0", 5_000_000),  # counts
        "intel-rapl:0:0": ("core", 4_000_000),
        "intel-rapl:0:1": ("uncore", 1_000_000),
        "intel-rapl:0:2": ("dram", 700_000),  # counts
        "intel-rapl:1": ("package-1", 3_000_000),  # counts
        "intel-rapl:1:0": ("dram", 300_000),  # counts
        "intel-rapl:2": ("psys", 20_000_000),
        "intel-rapl-mmio:0": ("package-0", 5_000_000),
    }
    files = {folder: zone(tmp_path, folder, name, 1_000) for folder, (name, _) in counters.items()}
    (tmp_path / "intel-rapl").mkdir()
    rapl = Rapl(tmp_path)
    for folder, (_, used) in counters.items():
        files[folder].write_text(str(1_000 + used))
    assert rapl.joules() == pytest.approx(5 + 0.7 + 3 + 0.3)
    assert rapl.joules() == 0


def test_psys_counts_where_there_is_no_package(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "psys", 0)
    rapl = Rapl(tmp_path)
    counter.write_text("2500000")
    assert rapl.joules() == 2.5


def test_a_counter_that_wraps(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, wraps_at=10_000_000)
    rapl = Rapl(tmp_path)
    counter.write_text("500000")
    assert rapl.joules() == pytest.approx(1.5)
    counter.write_text("600000")
    assert rapl.joules() == pytest.approx(0.1)


@pytest.mark.parametrize("broken", ["", "not a number", None])
def test_a_counter_that_cannot_be_read_is_left_out(tmp_path: Path, broken: str | None) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    counter.write_text(broken) if broken is not None else counter.unlink()
    usage = Meter(tmp_path).read()
    assert usage.joules == {}


def test_the_meter_prefers_the_counter_to_an_estimate(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Meter(tmp_path)
    counter.write_text("1000000")
    meter.read()
    counter.write_text("3000000")
    usage = meter.read()
    assert usage.joules == {"rapl": 3.0} and usage.cpu_seconds == 0 and usage.attempts == 1
    assert any("RAPL" in note for note in usage.notes)


def test_cpu_seconds_of_children_count_while_they_live_and_after() -> None:
    clock = CpuClock()
    before = clock.seconds()
    ended = subprocess.run([sys.executable, "-c", BUSY.format(0.35)])  # the system counts in hundredths, and drops what is less
    assert ended.returncode == 0 and clock.seconds() - before >= 0.3
    before = clock.seconds()
    child = subprocess.Popen([sys.executable, "-c", BUSY.format(1000)])
    while clock.seconds() - before < 0.3:
        time.sleep(0.02)  # a child that lives is seen; else this never ends
    psutil.Process(child.pid).suspend()  # however long this process has to wait for a core, the child does no more
    seen = clock.seconds()
    child.kill()
    child.wait()
    assert clock.seconds() >= seen - 0.02  # and isn't forgotten, nor counted twice, once it has ended
    assert clock.seconds() - seen < 0.3 or sys.platform == "win32"


def test_usages_add_up() -> None:
    first = Usage(1, 2.0, 3.0, {"nvml": 1.0}, ("a",), peak_bytes=900)
    second = Usage(2, 1.0, 0.5, {"rapl": 5.0, "nvml": 2.0}, ("a", "b"), peak_bytes=700)
    assert first + second == Usage(3, 3.0, 3.5, {"nvml": 3.0, "rapl": 5.0}, ("a", "b"), peak_bytes=900)
