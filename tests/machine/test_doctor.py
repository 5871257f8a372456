"""Doctor on the real machine: as a program without a compiler, with broken parts, and against a compiler that hangs."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from textmill.machine import doctor, environment, kernels, waiting
from textmill.machine.compiling import compiling
from textmill.machine.finding import Finding
from textmill.machine.waiting import CHOSEN, SETTINGS

from ..commands import Starter

# doctor as a program, but with all the time that a busy machine may need
PATIENT = """
import os
import textmill.cli
import textmill.cli.machine
from textmill.machine import doctor
os.environ.pop("CXX", None)
textmill.cli.machine.SECONDS = doctor.COMPILING_SECONDS = 600.0
textmill.cli.main()
"""


@pytest.fixture(scope="module")
def without_compiler(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> tuple[Path, dict]:
    """The folder of a machine without C++ compiler, and what doctor says there, as JSON."""
    place = tmp_path_factory.mktemp("bare")
    (place / "bin").mkdir()
    if git := shutil.which("git"):
        (place / "bin" / "git").symlink_to(git)
    environment = {"PATH": str(place / "bin"), "XDG_STATE_HOME": str(place / "state")}
    (place / "patient.py").write_text(PATIENT)
    (place / "state" / "textmill").mkdir(parents=True)
    (place / "state" / "textmill" / "machine.json").write_text("{ damaged")
    result = starter(place, "doctor", "--json", script=place / "patient.py", environment=environment)
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
    assert "is measured anew" in result.stderr or sys.platform == "win32"
    return place, json.loads(result.stdout)


def test_json_holds_every_section_and_the_choices(without_compiler: tuple[Path, dict]) -> None:
    place, said = without_compiler
    assert [*dict.fromkeys(finding["section"] for finding in said["findings"])] == [
        "Machine", "Speed", "Kernels", "Programs", "Will be used", "To do",
    ]  # fmt: skip
    found = {(finding["section"], finding["name"]): finding for finding in said["findings"]}
    assert found["Speed", "float32"]["values"]["flops"] > 1e6
    assert found["Machine", "processor"]["values"]["usable_cores"] >= 1
    assert found["Machine", "disk"]["values"]["bytes_per_second"] > 0
    assert found["Machine", "neighbours"]["values"]["cores"] >= 0
    assert found["Kernels", "fused attention"]["mark"] == found["Kernels", "eager attention"]["mark"] == "ok"
    assert "math" in found["Kernels", "torch's own"]["values"]["seconds"]
    assert said["used"]["device"] in ("cpu", "cuda", "mps") and said["used"]["attention"] in ("fused", "eager")
    assert not [finding for finding in said["findings"] if finding["mark"] == "FAIL"]
    assert not list(place.glob("runs*"))  # looking leaves nothing behind


@pytest.mark.skipif(sys.platform == "win32" or torch.cuda.is_available(), reason="the compiler isn't found by PATH there")
def test_a_missing_compiler_is_named_with_the_way_to_get_it(without_compiler: tuple[Path, dict]) -> None:
    _, said = without_compiler
    found = {(finding["section"], finding["name"]): finding for finding in said["findings"]}
    assert found["Kernels", "compile"]["mark"] == "none"
    assert "compiler" in found["Kernels", "compile"]["text"]
    assert found["Programs", "g++"]["mark"] == found["Programs", "make"]["mark"] == "none"
    assert "g++" in found["To do", "g++"]["text"] or "xcode" in found["To do", "g++"]["text"]
    assert said["used"]["compile"] == "off"


def test_what_it_measured_is_remembered(without_compiler: tuple[Path, dict]) -> None:
    place, _ = without_compiler
    if sys.platform != "win32":
        (machine,) = json.loads((place / "state" / "textmill" / "machine.json").read_text())["machines"].values()
        assert any(key.startswith("flops/") and key.endswith("/float32") for key in machine)
        assert any(key.startswith("memory/") and entry["value"] > 1e6 for key, entry in machine.items())


def test_a_probe_that_fails_is_a_line_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        yield Finding("Machine", "first", "ok", "fine")
        raise RuntimeError("no such kernel\nand a long trace")

    first, failed = doctor._run("Kernels", "attention", broken)
    assert first.mark == "ok"
    assert (failed.mark, failed.name) == ("FAIL", "attention")
    assert failed.text == "could not be looked at: RuntimeError: no such kernel"
    # What follows is said all the same where nothing could be measured.
    assert [finding.name for finding in doctor.choices([failed])][-2:] == ["compile", "but"]


def test_a_compiler_that_hangs_is_ended_with_all_that_it_started() -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    (finding,) = compiling(limit=0.5)
    assert (finding.name, finding.mark) == ("compile", "warn")
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_attention_kernels_are_really_run() -> None:
    calls = []

    def plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        calls.append(query.shape)
        return query * key * value

    findings = list(kernels.attention({"plain": plain}))
    assert len(calls) == 3 and [finding.name for finding in findings] == ["plain attention", "torch's own"]


def test_a_disk_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = environment.disk(tmp_path / "not" / "yet" / "there")
    assert finding.mark in ("ok", "warn") and finding.values["folder"] == str(tmp_path.resolve())
    if os.name != "nt" and os.geteuid() != 0:
        tmp_path.chmod(0o500)
        (finding,) = environment.disk(tmp_path)
        assert finding.mark == "FAIL" and "nothing can be written" in finding.text


@pytest.mark.parametrize(
    "settings, mark, words",
    [
        (CHOSEN, "ok", "set by textmill"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "ok", "sleep soon or at once"),
        ({"GOMP_SPINCOUNT": "0"}, "ok", "sleep soon or at once"),
        ({"GOMP_SPINCOUNT": "300"}, "ok", "sleep soon or at once"),
        ({"OMP_WAIT_POLICY": "active"}, "warn", "spin for milliseconds"),
        ({"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000000"}, "warn", "spin for milliseconds"),
        ({}, "warn", "waiting threads spin for milliseconds"),
    ],
)
def test_how_threads_wait_is_told(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], mark: str, words: str) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(waiting, "_torch_was_first", False)
    finding = environment._wait_policy({"libgomp"})
    assert finding.mark == mark and words in finding.text


def test_lines_are_aligned_and_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = Finding("Machine", "processor", "warn", "word " * 60).render(colour=False).splitlines()
    assert len(lines) > 3 and all(len(line) < 80 for line in lines)
    assert lines[0].startswith("  warn  processor") and lines[1].index("w") == lines[0].index("word")
    assert "\x1b[33mwarn" in Finding("Machine", "x", "warn", "y").render(colour=True)
