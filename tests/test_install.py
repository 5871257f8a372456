"""The installer answers a Python that can't run textmill with the command that mends it, before it touches anything."""

import subprocess
import sys
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parents[1] / "tools" / "install.py"


@pytest.mark.parametrize(
    "flaw, expected",
    [
        ("sys.version_info = (3, 9, 2, 'final', 0)", ["needs Python 3.11 or newer", "3.9", "PYTHON=python3.12"]),
        ("sys.modules['ensurepip'] = None", ["has no venv", "sudo apt install python", "-venv"]),
    ],
)
def test_an_unfit_python_is_told_what_to_install(flaw: str, expected: list[str], tmp_path: Path) -> None:
    code = f"import runpy, sys; {flaw}; sys.argv = ['install.py']; runpy.run_path({str(INSTALLER)!r}, run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert all(part in result.stderr for part in expected), result.stderr
    assert "Traceback" not in result.stderr
