"""The bench of a GPU says what it needs where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parent.parent / "bench" / "gpu.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_device_it_says_so_and_ends_with_2() -> None:
    ended = subprocess.run([sys.executable, str(BENCH)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr == "error: torch finds no CUDA device here, and these figures are of nothing else\n"
