"""Which of a model's linear layers become which matrices for the kernels, and the model that multiplies by them.

A decoder that the kernels read whole has queries, keys and values in one matrix, and gates and what they gate in another, as
decoder.cpp takes them; each other linear layer of any family is a matrix of its own, and so are a recurrent cell's two. The
table of embeddings is the head's matrix where they are tied, else in short formats one of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.attention import Attention
from ..models.block import FeedForward
from ..models.decoder import Decoder, DecoderConfig
from ..models.language_model import LanguageModel
from ..models.recurrent import Cell
from .library import Pool
from .linear import PackedCell, PackedEmbedding, PackedFeedForward, PackedLinear, rows_of
from .packing import GROUP, LANES, Format, Packed, pack, wider

JOINED, INTERLEAVED = "query_key_value", "gate_and_up"
EMBEDDING, TABLE = "embedding", "embedding.weight"


@dataclass(frozen=True)
class Matrix:
    """Weights, and biases where there are any, by the names of the parameters that they are: one matrix, in which several are
    below each other, or `interleaved` by blocks of outputs. 4 bits would cost too much in one that is `wide`."""

    weights: tuple[str, ...]
    biases: tuple[str, ...] = ()
    interleaved: bool = False
    wide: bool = False

    def join(self, parts: list[Tensor]) -> Tensor:
        """Weights (N, K), or biases (N,), as one."""
        if not self.interleaved:
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        return torch.stack([part.unflatten(0, (-1, LANES)) for part in parts], dim=1).flatten(0, 2)

    def pack(self, tensors: Mapping[str, Tensor], format: Format) -> Packed:
        """The matrix of these parameters."""
        weights, biases = ([tensors[name] for name in names] for names in (self.weights, self.biases))
        return pack(self.join(weights), self.join(biases) if biases else None, wider(format) if self.wide else format)


@dataclass(frozen=True)
class PackedWeights:
    """The matrices of a model in one format that something is multiplied by, by their names, and the threads that do it."""

    format: Format
    matrices: Mapping[str, Packed]
    pool: Pool


def shape_problems(config: object) -> list[str]:
    """Why decoder.cpp can't read a model of this shape; none where it can."""
    if not isinstance(config, DecoderConfig):
        return ["the kernels read whole decoders alone"]
    found = []
    for name, value in (
        ("width", config.width),
        ("feed_forward_width", config.feed_forward_width),
        ("heads · head_dim", config.heads * config.head_dim),
    ):
        if value % GROUP:
            found.append(f"{name} must be a multiple of {GROUP} for the kernels, found {value}")
    if config.head_dim % LANES:
        found.append(f"head_dim must be a multiple of {LANES} for the kernels, found {config.head_dim}")
    return found


def matrices_of(model: nn.Module, format: Format) -> dict[str, Matrix]:
    """What is to be packed of a model in a format, by the matrices' names. A tied matrix's weight has the table's name."""
    whole = isinstance(model, Decoder) and not shape_problems(model.config)
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first.setdefault(id(parameter), name)

    def of_linears(*names: str, interleaved: bool = False) -> Matrix:
        modules = [model.get_submodule(name) for name in names]
        weights = tuple(first[id(module.weight)] for module in modules)
        biases = tuple(first[id(module.bias)] for module in modules if module.bias is not None)
        return Matrix(weights, biases, interleaved, wide=names == ("head",) or weights == (TABLE,))

    found: dict[str, Matrix] = {}
    for name, module in model.named_modules():
        place, _, last = name.rpartition(".")
        if isinstance(module, Cell):
            for part in ("input", "hidden"):
                found[f"{name}.{part}"] = Matrix((f"{name}.{part}_weight",), (f"{name}.{part}_bias",))
        elif not isinstance(module, nn.Linear):
            continue
        elif whole and last in ("query", "key", "value"):
            found[f"{place}.{JOINED}"] = of_linears(*(f"{place}.{part}" for part in ("query", "key", "value")))
        elif whole and model.config.gated and last in ("gate", "up"):  # type: ignore[union-attr]
            found[f"{place}.{INTERLEAVED}"] = of_linears(f"{place}.gate", f"{place}.up", interleaved=True)
        else:
            found[name] = of_linears(name)
    if format != "float32" and not any(matrix.weights == (TABLE,) for matrix in found.values()):
        found[EMBEDDING] = Matrix((TABLE,), wide=True)
    return found


def packed_parts(
    model: nn.Module, tensors: Iterable[tuple[str, Tensor]], format: Format
) -> Iterator[tuple[str, Packed | Tensor]]:
    """A model's tensors, by their names, which come one after the other: each matrix packed once its parts are there, and all
    else in float32, so that no more than a matrix is held."""
    matrices = matrices_of(model, format)
    missing = {name: {*matrix.weights, *matrix.biases} for name, matrix in matrices.items()}
    held: dict[str, Tensor] = {}
    for name, tensor in tensors:
        tensor = tensor.detach().float()
        wanting = [matrix for matrix, names in missing.items() if name in names]
        if not wanting:
            yield name, tensor
        for each in wanting:
            held[name] = tensor
            missing[each].remove(name)
            if not missing[each]:
                yield each, matrices[each].pack(held, format)
                for part in (*matrices[each].weights, *matrices[each].biases):
                    del held[part]


def packed_matrices(model: LanguageModel, format: Format) -> dict[str, Packed]:
    """A model's own weights as matrices; it keeps them too."""
    own = ((name, parameter) for name, parameter in model.named_parameters())
    return {name: part for name, part in packed_parts(model, own, format) if isinstance(part, Packed) and name != EMBEDDING}


def install(model: LanguageModel, parts: Mapping[str, Packed | Tensor], format: Format) -> None:
    """Have a model multiply by the matrices of `parts`, in the place of its own, and hold what else is in them."""
    pool = Pool(torch.get_num_threads(), briefly=True)  # torch's threads work in between
    known = matrices_of(model, format)
    matrices = {name: packed for name in known if isinstance(packed := parts[name], Packed)}
    table = next((matrices[name] for name, matrix in known.items() if matrix.weights == (TABLE,)), None)
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(plain := parts.get(name), Tensor):
            tensor.data = plain

    embedding = model.embedding

    def linear(name: str, inputs: int, first: int = 0, outputs: int | None = None) -> PackedLinear:
        return PackedLinear(matrices[name] if outputs is None else rows_of(matrices[name], first, outputs), inputs, pool)

    for name, module in list(model.named_modules(remove_duplicate=False)):  # both halves of a model may share a table
        place, _, last = name.rpartition(".")
        parent = model.get_submodule(place)
        if table is not None and module is embedding:
            setattr(parent, last, PackedEmbedding(table, module.embedding_dim))
        elif isinstance(module, FeedForward) and f"{name}.{INTERLEAVED}" in matrices:
            both = linear(f"{name}.{INTERLEAVED}", module.up.in_features)
            setattr(parent, last, PackedFeedForward(module, both, linear(f"{name}.down", module.down.in_features)))
        elif isinstance(module, Attention) and f"{name}.{JOINED}" in matrices:
            first = 0
            for projection in ("query", "key", "value"):
                own = getattr(module, projection)
                setattr(module, projection, linear(f"{name}.{JOINED}", own.in_features, first, own.out_features))
                first += own.out_features
        elif isinstance(module, Cell):
            width = module.hidden_weight.size(1)
            setattr(parent, last, PackedCell(module, linear(f"{name}.input", width), linear(f"{name}.hidden", width)))
        elif isinstance(module, nn.Linear) and name in matrices:
            setattr(parent, last, linear(name, module.in_features))
    matrices.pop(EMBEDDING, None)
    model.packed = PackedWeights(format, matrices, pool)
    model.requires_grad_(False)
