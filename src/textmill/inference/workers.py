"""The threads that read a model: torch's and the kernels', as many as go fastest, chosen again while they read.

By the kernels any number of them gives the same bits; by torch last digits may differ, so each change is logged.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..machine.threads import ThreadChoice, torch_threads
from ..models.language_model import LanguageModel
from ..native.library import Pool

LOG = logging.getLogger(__name__)


class Workers:
    """Reads `model` with the kernels' `pool`, or by torch where there is none. `same_bits`: where torch reads, the number of
    threads stays, and only how they wait is chosen."""

    def __init__(self, model: LanguageModel, pool: Pool | None, same_bits: bool = False):
        count = torch.get_num_threads() if model.device.type == "cpu" else 1
        by_torch = pool is None or pool.briefly  # at least in part
        self.choice = ThreadChoice(count, None if same_bits and pool is None else count, waits=by_torch)
        self._pool, self._told = pool, count

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have as many of them work as are chosen now."""
        count = self.choice.count
        if self._pool is not None:
            self._pool.use(count, self._pool.briefly)
        if count != self._told and not self.choice.trying:
            bits = "torch's last digits may differ from here on" if self._pool is None else "the same bits"
            LOG.info("%d threads read faster than %d now: %s", count, self._told, bits)
            self._told = count
        with torch_threads(count):
            yield
