"""The kernels of each instruction set in turn."""

from collections.abc import Iterator

import pytest
import torch

from textmill.native import library
from textmill.native.library import NoKernels
from textmill.native.probe import tried

from ..kernels import without_kernels


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
        without_kernels(error)
    yield
    library.library.cache_clear()
    tried.cache_clear()
