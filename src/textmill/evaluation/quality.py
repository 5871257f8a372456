"""How much a text is like a clean reference: its bits per byte under an n-gram that has learnt from that reference.

The corpus's quality step is given it. It goes to worker processes by its folder's name, and imports no torch.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..files import fingerprint
from ..formats.ngram_folder import load_ngram, save_ngram
from ..models import alphabet, ngram
from ..models.ngram import NgramModel

ORDER = 5  # separates as well as 7, at two and a half times the speed and a quarter of the memory (docs/experiments.md)
REFERENCE_BYTES = 20_000_000


@dataclass(frozen=True)
class NgramQuality:
    """Bits per byte of a text and its end, under the n-gram that lies in `folder`."""

    folder: Path
    identity: str

    @classmethod
    def learn(cls, texts: Iterable[str], folder: Path) -> "NgramQuality":
        """Train the n-gram on the first REFERENCE_BYTES of `texts`, and write it to `folder`. Raises CorpusError where there is
        no text."""
        model = NgramModel.train(texts, ORDER, REFERENCE_BYTES)
        save_ngram(model, folder)
        code = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (alphabet, ngram)]
        return cls(folder, fingerprint([model.facts(), code]))

    @property
    def model(self) -> NgramModel:
        """The n-gram, mapped into memory at first use."""
        return _load_once(self.folder)

    def __call__(self, text: str) -> float:
        encoded = text.encode()
        return float(self.model.nats(encoded).sum()) / math.log(2) / (len(encoded) + 1)


@functools.lru_cache(maxsize=1)
def _load_once(folder: Path) -> NgramModel:
    return load_ngram(folder)
