"""The kernels of each instruction set in turn."""

import os
from collections.abc import Iterator

import pytest
import torch

from textmill.native import library
from textmill.native.library import NoKernels
from textmill.native.probe import tried


@pytest.fixture(params=["avx512", "avx2"])
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each that this processor has; none is a named skip."""
    monkeypatch.setattr(library, "INSTRUCTION_SETS", (request.param,))
    library.library.cache_clear()
    tried.cache_clear()
    torch.manual_seed(0)
    try:
        library.library()
    except NoKernels as error:
        unbuilt = "wasn't built" in str(error) and os.environ.get("CI")
        (pytest.fail if unbuilt else pytest.skip)(str(error))
    yield
    library.library.cache_clear()
    tried.cache_clear()
