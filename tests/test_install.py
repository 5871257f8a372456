"""The installer answers a Python that can't run textmill with the command that mends it, before it touches anything; what it
makes starts in any folder and any locale."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parents[1] / "tools" / "install.py"


@pytest.mark.parametrize(
    "flaw, expected",
    [
        (
            "sys.version_info = (3, 9, 2, 'final', 0)",
            ["needs Python 3.11 or newer", "3.9", "python3.12 tools/install.py", "PYTHON=python3.12"],
        ),
        ("sys.modules['ensurepip'] = None", ["has no venv", "sudo apt install python", "-venv"]),
    ],
)
def test_an_unfit_python_is_told_what_to_install(flaw: str, expected: list[str], tmp_path: Path) -> None:
    code = f"import runpy, sys; {flaw}; sys.argv = ['install.py']; runpy.run_path({str(INSTALLER)!r}, run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert all(part in result.stderr for part in expected), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no LC_ALL")
def test_a_clone_in_a_chinese_folder_starts_in_the_c_locale(tmp_path: Path) -> None:
    """Before 3.13, Python ends with a fatal error when it can't read the environment's way to the sources."""
    clone = tmp_path / "我的 文档"
    (clone / "src").mkdir(parents=True)
    (clone / "src" / "probe.py").write_text("print('found')")
    venv.create(clone / ".venv")
    (packages,) = (clone / ".venv" / "lib").glob("*/site-packages")
    (packages / "__editable__.textmill-0.1.pth").write_text(f"{clone / 'src'}\n", encoding="utf-8")  # as setuptools does
    point_at_sources = runpy.run_path(str(INSTALLER))["point_at_sources"]
    point_at_sources.__globals__.update(ROOT=str(clone), VENV=str(clone / ".venv"))
    point_at_sources()
    command = [clone / ".venv" / "bin" / "python", "-c", "import probe"]
    result = subprocess.run(command, env={"LC_ALL": "C"}, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "found\n"), result.stderr


def included(source: Path) -> set[Path]:
    """The project's own headers that a C++ file is made of."""
    own = {source.parent / name for name in re.findall(r'^#include "(.+)"', source.read_text(encoding="utf-8"), re.MULTILINE)}
    return own.union(*map(included, own))


def test_a_library_is_built_anew_when_any_of_its_headers_changes() -> None:
    root = INSTALLER.parents[1]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    for library in settings["tool"]["setuptools"]["ext-modules"]:
        (source,) = library["sources"]
        assert sorted(library["depends"]) == sorted(str(path.relative_to(root)) for path in included(root / source))
