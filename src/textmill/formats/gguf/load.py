"""A GGUF file as a model: its shape, its tensors under our names, read one by one as they are asked for, and its tokenizer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import ModelError, TokenizerError
from ...models.architectures import build_empty
from ...models.config import ModelConfig
from ...tokens.tokenizer import Tokenizer
from ..layouts.layout import Layout
from .architectures import ARCHITECTURES
from .metadata import Metadata, Shapes, told
from .reader import GgufFile, read_gguf
from .tokenizer import read_tokenizer


@dataclass(frozen=True)
class LoadedGguf:
    """`tensors`: our names -> float32, read from the file at each look-up; a tied head is left out. `metadata` is all that the
    file says, under its own keys; `architecture` its general.architecture."""

    architecture: str
    config: ModelConfig
    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer
    metadata: dict[str, Any]


def load_gguf(path: str | Path) -> LoadedGguf:
    """Read a GGUF file (gpt2, llama, qwen2, qwen3 or bert). Raises ModelError, with all that is wrong of one kind, where it is
    damaged, lies, or holds what textmill doesn't."""
    file = read_gguf(path)
    try:
        return _load(file)
    except (ModelError, TokenizerError) as error:
        raise ModelError(*(f"{path}: {problem}" for problem in error.problems)) from error


def _load(file: GgufFile) -> LoadedGguf:
    architecture = told(file.metadata, "general.architecture", "")
    if architecture not in ARCHITECTURES:
        raise ModelError(f"general.architecture is {architecture!r:.80}; {', '.join(ARCHITECTURES)} are read")
    if (parts := told(file.metadata, "split.count", 1)) > 1:
        raise ModelError(f"it is one of {parts} files of a model; join them by llama.cpp's `llama-gguf-split --merge`")
    if (kind := told(file.metadata, "general.type", "model")) != "model":
        raise ModelError(f"general.type is {kind!r:.80}; whole models are read")
    layout = ARCHITECTURES[architecture]
    metadata = Metadata(file, architecture)
    config = layout.shape_of(metadata)
    _check_shapes(layout.stock_shapes(config), metadata.shapes)
    tokenizer = read_tokenizer(file.metadata)
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocabulary_size:,} tokens, the model {config.vocabulary_size:,} rows; "
            "they don't belong together"
        )
    return LoadedGguf(architecture, config, _Tensors(file, layout, config), tokenizer, file.metadata)


class _Tensors(Mapping[str, Tensor]):
    """The tensors of a file under our names. What was read last is kept: one of theirs may be several of ours."""

    def __init__(self, file: GgufFile, layout: Layout, config: ModelConfig):
        self._file = file
        self._pieces = {name: piece for piece in layout.pieces(config) for name in piece.ours}
        self._shapes = {name: tensor.shape for name, tensor in build_empty(config).state_dict().items()}
        self._last: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._last:
            piece = self._pieces[name]
            self._last = piece.split(self._file.tensor(piece.theirs), self._shapes)
        return self._last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)


def _check_shapes(expected: Shapes, found: Shapes) -> None:
    """Raises ModelError with every tensor that is missing, unknown or of another shape."""
    problems = [f"tensor {name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"tensor {name:.80} is not one of this architecture's" for name in found.keys() - expected.keys()]
    problems += [
        f"tensor {name} has shape {found[name]}, the metadata say {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        raise ModelError(*sorted(problems))
