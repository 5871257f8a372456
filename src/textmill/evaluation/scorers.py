"""A scorer says what each document costs, in nats. Models, the n-gram and `xz` are scorers; evaluation knows only this.

Whatever its symbols, a scorer pays for the same thing: every UTF-8 byte of the document's text, and its end.
"""

import dataclasses
import hashlib
import itertools
import lzma
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from ..corpus.document import Document
from ..errors import CorpusError, ModelError
from ..models.count import of_weights
from ..models.ngram import NgramModel, take_bytes
from ..tokens.loader import IGNORED
from .words import count_words

NATS_PER_BYTE = 8 * math.log(2)  # what a byte costs when nothing is known of it

XZ_END = b"\0"  # stands for a document's end in what xz reads
XZ_SMALLEST_DICTIONARY = 4096  # LZMA2 takes no less
XZ_THREADS = 2

BATCHES_SORTED_TOGETHER = 16  # more means less padding, and more windows in memory


@dataclass(frozen=True)
class DocumentScore:
    """What one document costs under one scorer. Each count holds the document's end as one more."""

    id: str
    source: str
    nats: float
    bytes: int  # UTF-8 bytes of the text + 1
    tokens: int  # symbols predicted
    words: int  # words of the text + 1
    lost_bytes: int = 0  # bytes that the tokenizer can't restore; `nats` holds 8 bits for each

    @property
    def bits(self) -> float:
        """Bits per byte."""
        return self.nats / math.log(2) / self.bytes

    @property
    def size(self) -> str:
        """How large the document is."""
        return f"{self.bytes:,} bytes"


class Scorer(Protocol):
    """Something that gives documents a cost. Where it can't take them all, it chooses by their ids, and says so in its
    signature."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def signature(self) -> dict[str, Any]:
        """Whatever someone needs to get the same numbers: plain JSON values."""

    def score(self, documents: Sequence[Document]) -> Iterator[DocumentScore]:
        """The documents' scores, in the documents' order."""


def document_score(document: Document, nats: float, tokens: int, lost_bytes: int = 0) -> DocumentScore:
    """A score with the counts that are the same whoever scores."""
    return DocumentScore(
        id=document.id,
        source=document.source,
        nats=nats + lost_bytes * NATS_PER_BYTE,
        bytes=len(document.text.encode()) + 1,
        tokens=tokens,
        words=count_words(document.text) + 1,
        lost_bytes=lost_bytes,
    )


def hash_order(document: Document) -> bytes:
    """A sort key, 64 bytes, that is arbitrary, but the same on every machine and whatever other documents there are.

    The id's hash decides; the text's only between documents of different sources that share an id.
    """
    return b"".join(hashlib.sha256(part.encode(errors="backslashreplace")).digest() for part in (document.id, document.text))


class NgramScorer:
    """The n-gram as a scorer."""

    def __init__(self, model: NgramModel):
        self.model = model
        self.name = f"{model.order}-gram"
        self.signature = {
            "scorer": "modified Kneser–Ney over bytes and the training text's common characters",
            "order": model.order,
            "characters": len(model.alphabet.characters),
            "training_bytes": model.bytes_read,
            "training_documents": model.documents_read,
            "training_sha256": model.training_sha256,
            "training_limit_reached": model.limit_reached,
        }

    def score(self, documents: Sequence[Document]) -> Iterator[DocumentScore]:
        """One symbol a common character, or a byte of all else; and one for the end."""
        for document in documents:
            nats = self.model.nats(document.text)
            yield document_score(document, float(nats.sum()), len(nats))


class XzScorer:
    """What a document adds to the training text once both are compressed: `len(xz(train + document)) - len(xz(train))`.

    A strong baseline for text that repeats the training text, and a slow one: the training text is compressed anew for
    each document. So it reads at most `limit` bytes, and scores at most `maximum_documents`, the first by the hash of
    their ids. Memory: about 12 bytes per byte of training text, in each of two threads.
    """

    def __init__(self, training_texts: Iterable[str | bytes], limit: int = 8_000_000, maximum_documents: int = 16):
        self._training = b"".join(text + XZ_END if whole else text for text, whole in take_bytes(training_texts, limit))
        if not self._training:
            raise CorpusError("no training text for xz; give at least one document and a limit above zero")
        self.maximum_documents = maximum_documents
        self.name = "xz"
        self.signature = {
            "scorer": "xz -9e (raw LZMA2) after the training text",
            "training_bytes": len(self._training),
            "training_sha256": hashlib.sha256(self._training).hexdigest(),
            "training_limit_reached": len(self._training) >= limit,
            "maximum_documents": maximum_documents,
        }

    def score(self, documents: Sequence[Document]) -> Iterator[DocumentScore]:
        """One symbol a byte, and one for the end."""
        chosen = set(sorted(map(hash_order, documents))[: self.maximum_documents])
        scored = [document for document in documents if hash_order(document) in chosen]
        longest = max((len(document.text.encode()) for document in scored), default=0)
        # All of the training text stays in reach. Raw LZMA2 has no headers, so a large dictionary costs no bytes.
        dictionary = max(XZ_SMALLEST_DICTIONARY, len(self._training) + longest + len(XZ_END))
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary}]

        def compressed_size(addition: bytes) -> int:
            return len(lzma.compress(self._training + addition, format=lzma.FORMAT_RAW, filters=filters))

        with ThreadPoolExecutor(XZ_THREADS) as pool:
            alone = pool.submit(compressed_size, b"")
            sizes = pool.map(compressed_size, [document.text.encode() + XZ_END for document in scored])
            for document, size in zip(scored, sizes):
                score = document_score(document, (size - alone.result()) * NATS_PER_BYTE, tokens=0)
                yield dataclasses.replace(score, tokens=score.bytes)


class ScoringTokenizer(Protocol):
    """What the model scorer needs of a tokenizer."""

    @property
    def document_start_id(self) -> int:
        """The token that stands before a document."""

    @property
    def document_end_id(self) -> int:
        """The token that stands for its end."""

    @property
    def hash(self) -> str:
        """Names this tokenizer and no other."""

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are."""

    def encode(self, text: str) -> Sequence[int]:
        """The text's tokens, without BOS or EOS."""

    def lost_bytes(self, text: str) -> int:
        """How many of the text's UTF-8 bytes the tokens can't give back."""


@dataclass(frozen=True)
class Window:
    """A stretch of a document that fits the context: (T,) int64 each. Targets that another window scores are -100."""

    document: int
    inputs: np.ndarray
    targets: np.ndarray


class ModelScorer:
    """A language model as a scorer. Any module will do that has `token_nats(inputs, targets)`: (B, T) int64 tokens to
    (B, T) float32 nats, 0 where the target is -100, each position seeing only those up to its own.

    A document is its start and its tokens, which predict the tokens and its end. One that is longer than the context is
    read in windows that overlap by half, each target scored once, so that past the first window each sees half a context
    or more.
    Windows of many documents run together, `batch_size` at once; memory doesn't grow with the number of documents.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: ScoringTokenizer,
        context: int,
        batch_size: int = 16,
        name: str = "model",
    ):
        if context < 2:
            raise ModelError(f"a context of {context} can't be read in windows that overlap by half; give 2 or more")
        if batch_size < 1:
            raise ModelError(f"an evaluation batch of {batch_size} holds nothing; give 1 or more")
        self.model: Any = model  # a module with `token_nats`, which no type can say
        self.tokenizer = tokenizer
        self.context = context
        self.batch_size = batch_size
        self.count_end = True  # without it, a document has to have a token
        self.name = name
        self.signature = {
            "scorer": "language model",
            **of_weights(model),
            "tokenizer": tokenizer.hash,
            "vocabulary_size": tokenizer.vocabulary_size,
            "context": context,
            "stride": context // 2,
        }

    def score(self, documents: Sequence[Document]) -> Iterator[DocumentScore]:
        """One symbol a token, and one for the end. Lost bytes cost 8 bits each."""
        nats: dict[int, float] = defaultdict(float)
        tokens: dict[int, int] = defaultdict(int)
        windows = self._windows(documents)
        finished = 0
        while pool := list(itertools.islice(windows, BATCHES_SORTED_TOGETHER * self.batch_size)):
            reached = pool[-1].document
            pool.sort(key=lambda window: len(window.inputs))
            for start in range(0, len(pool), self.batch_size):
                batch = pool[start : start + self.batch_size]
                for window, cost in zip(batch, self._window_nats(batch)):
                    nats[window.document] += cost
                    tokens[window.document] += int(np.count_nonzero(window.targets != IGNORED))
            # The last document may go on in the next pool; the ones before it are complete.
            for place in range(finished, reached):
                yield self._finish(documents[place], nats.pop(place), tokens.pop(place))
            finished = reached
        for place in range(finished, len(documents)):
            yield self._finish(documents[place], nats.pop(place), tokens.pop(place))

    def _finish(self, document: Document, nats: float, tokens: int) -> DocumentScore:
        return document_score(document, nats, tokens, self.tokenizer.lost_bytes(document.text))

    def _tokens(self, document: Document) -> np.ndarray:
        """All that is read of a document, from the token before it to that for its end, where that counts: (T,) int64."""
        end = [self.tokenizer.document_end_id] if self.count_end else []
        return np.array([self.tokenizer.document_start_id, *self.tokenizer.encode(document.text), *end], dtype=np.int64)

    def _windows(self, documents: Sequence[Document]) -> Iterator[Window]:
        """Each document's windows, one after the other. The last one ends where the document does, and is full."""
        for place, document in enumerate(documents):
            tokens = self._tokens(document)
            inputs, targets = tokens[:-1], tokens[1:]
            scored = 0
            while scored < len(targets):
                stop = min(max(self.context, scored + self.context // 2), len(targets))
                start = max(0, stop - self.context)
                window_targets = targets[start:stop].copy()
                window_targets[: scored - start] = IGNORED
                yield Window(place, inputs[start:stop], window_targets)
                scored = stop

    def _window_nats(self, batch: Sequence[Window], state: Any = None) -> list[float]:
        """The cost of each window's targets, behind what `state` has read. Padding stands at the right, where no token of a
        causal model looks."""
        length = max(len(window.inputs) for window in batch)
        inputs = np.full((len(batch), length), self.tokenizer.document_end_id, dtype=np.int64)
        targets = np.full((len(batch), length), IGNORED, dtype=np.int64)
        for row, window in enumerate(batch):
            inputs[row, : len(window.inputs)] = window.inputs
            targets[row, : len(window.targets)] = window.targets
        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        was_training = self.model.training
        self.model.eval()
        try:
            # Not inference_mode: what a model caches on the way must still serve in training.
            with torch.no_grad():
                read = torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
                nats = self.model.token_nats(*read) if state is None else self.model.token_nats(*read, state)
        finally:
            self.model.train(was_training)
        return nats.cpu().double().sum(dim=1).tolist()
