"""What the machine remembers: kept, invalidated, damaged, noisy."""

import json
from pathlib import Path

import pytest
import torch

from textmill.machine import profile

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_STATE_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))


def test_what_is_remembered_is_recalled_until_it_is_forgotten(tmp_path: Path) -> None:
    assert profile.recall("attention") is None
    profile.remember("attention", {"fused": 0.5}, noisy=False)
    assert profile.profile_file().is_relative_to(tmp_path)
    assert profile.recall("attention") == {"fused": 0.5}
    assert profile.recall("compile") is None
    profile.forget()
    assert profile.recall("attention") is None


def test_noise_is_not_believed_and_never_takes_the_place_of_quiet() -> None:
    profile.remember("a", 1.0, noisy=True)
    assert profile.recall("a") is None
    profile.remember("a", 2.0, noisy=False)
    profile.remember("a", 1.0, noisy=True)
    assert profile.recall("a") == 2.0


def test_another_machine_or_torch_measures_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    profile.remember("a", 1.0, noisy=False)
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "99.0")
        assert profile.recall("a") is None
        profile.remember("a", 2.0, noisy=False)
    assert profile.recall("a") == 1.0


def test_a_shared_home_folder_remembers_the_newest_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        with monkeypatch.context() as other:
            other.setattr(torch, "__version__", str(number))
            profile.remember("a", number, noisy=False)
    kept = json.loads(profile.profile_file().read_text())["machines"]
    assert len(kept) == profile.MACHINES and list(kept)[-1].endswith("torch 19")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 0}', '{"version": 1, "machines": {"x": {"a": 1}}}', "\udc00"])
def test_a_damaged_memory_is_said_and_measured_anew(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    profile.profile_file().parent.mkdir(parents=True)
    profile.profile_file().write_bytes(content.encode("utf-8", errors="surrogatepass"))
    assert profile.peak_flops(CPU, torch.float32) > 0
    said = capsys.readouterr().err
    assert said.count("measured anew") == 1 and "machine.json" in said
    assert "flops/cpu/float32" in profile.profile_file().read_text()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "textmill").write_text("a file where the folder would be")
    profile.remember("a", 1.0, noisy=False)
    assert profile.recall("a") is None


def test_the_peak_is_measured_once_and_changes_no_threads() -> None:
    threads = torch.get_num_threads()
    profile.remember("flops/cpu/float32", 123.0, noisy=False)
    assert profile.peak_flops(CPU, torch.float32) == 123.0
    assert profile.peak_flops(CPU, torch.bfloat16) > 0
    assert torch.get_num_threads() == threads
