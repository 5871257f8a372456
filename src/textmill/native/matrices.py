"""Which of a model's linear layers become which matrices for the kernels, and the model that multiplies by them.

A decoder that the kernels read whole has queries, keys and values in one matrix, and gates and what they gate in another, as
decoder.cpp takes them; each other linear layer of any family is a matrix of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.block import FeedForward
from ..models.decoder import Decoder, DecoderConfig
from ..models.language_model import LanguageModel
from .library import Pool
from .linear import PackedFeedForward, PackedLinear, rows_of
from .packing import GROUP, LANES, Format, Packed, pack

JOINED, INTERLEAVED = "query_key_value", "gate_and_up"


@dataclass(frozen=True)
class Matrix:
    """Linear layers, by their names, whose weights are one matrix: below each other, or interleaved by blocks of outputs."""

    layers: tuple[str, ...]
    interleaved: bool = False

    def join(self, parts: list[Tensor]) -> Tensor:
        """Their weights (N, K), or biases (N,), as one."""
        if not self.interleaved:
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        return torch.stack([part.unflatten(0, (-1, LANES)) for part in parts], dim=1).flatten(0, 2)


@dataclass(frozen=True)
class PackedWeights:
    """The matrices of a model in one format, by their names, and the threads that multiply by them."""

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
    if config.head_dim % LANES or config.head_dim > LANES * LANES:
        found.append(f"head_dim must be a multiple of {LANES} up to {LANES * LANES} for the kernels, found {config.head_dim}")
    return found


def matrices_of(model: nn.Module) -> dict[str, Matrix]:
    """What is to be packed of a model, or of a head, by the matrices' names."""
    whole = isinstance(model, Decoder) and not shape_problems(model.config)
    found: dict[str, Matrix] = {}
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        place, _, last = name.rpartition(".")
        if whole and last in ("query", "key", "value"):
            found[f"{place}.{JOINED}"] = Matrix(tuple(f"{place}.{part}" for part in ("query", "key", "value")))
        elif whole and model.config.gated and last in ("gate", "up"):  # type: ignore[union-attr]
            found[f"{place}.{INTERLEAVED}"] = Matrix((f"{place}.gate", f"{place}.up"), interleaved=True)
        else:
            found[name] = Matrix((name,))
    return found


def packed_parts(
    model: nn.Module, tensors: Iterable[tuple[str, Tensor]], format: Format
) -> Iterator[tuple[str, Packed | Tensor]]:
    """A model's tensors, by their names, which come one after the other: each matrix packed once its parts are there, and all
    else in float32, so that no more than a matrix is held. A tied table is both."""
    first = _first_names(model)
    matrices, tables = matrices_of(model), set(_outside_linears(model))
    missing = {name: set(_parts(model, matrix, first).values()) for name, matrix in matrices.items()}
    held: dict[str, Tensor] = {}
    for name, tensor in tensors:
        tensor = tensor.detach().float()
        wanting = [matrix for matrix, parts in missing.items() if name in parts]
        if name in tables or not wanting:
            yield name, tensor
        for each in wanting:
            held[name] = tensor
            missing[each].remove(name)
            if missing[each]:
                continue
            matrix, parts = matrices[each], _parts(model, matrices[each], first)
            weights = [held[parts[f"{layer}.weight"]] for layer in matrix.layers]
            biases = [held[parts[f"{layer}.bias"]] for layer in matrix.layers if f"{layer}.bias" in parts]
            yield each, pack(matrix.join(weights), matrix.join(biases) if biases else None, format)
            for part in parts.values():
                del held[part]


def packed_matrices(model: LanguageModel, format: Format) -> dict[str, Packed]:
    """A model's own weights as matrices; it keeps them too."""
    own = ((name, parameter) for name, parameter in model.named_parameters())
    return {name: part for name, part in packed_parts(model, own, format) if isinstance(part, Packed)}


def install(model: LanguageModel, parts: Mapping[str, Packed | Tensor], format: Format) -> None:
    """Have a model multiply by the matrices of `parts`, in the place of its own, and hold what else is in them."""
    pool, plan = Pool(torch.get_num_threads()), matrices_of(model)
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(part := parts.get(name), Tensor):
            tensor.data = part
    matrices = {name: part for name in plan if isinstance(part := parts[name], Packed)}
    for name, matrix in sorted(plan.items(), key=lambda each: each[1].interleaved):
        first = 0
        for layer in matrix.layers:
            place, _, last = layer.rpartition(".")
            parent, module = model.get_submodule(place), model.get_submodule(layer)
            assert isinstance(module, nn.Linear)
            if matrix.interleaved and isinstance(parent, FeedForward):
                above, _, own = place.rpartition(".")
                both = PackedLinear(matrices[name], module.in_features, pool)
                setattr(model.get_submodule(above), own, PackedFeedForward(parent, both))
                break
            packed = matrices[name] if len(matrix.layers) == 1 else rows_of(matrices[name], first, module.out_features)
            setattr(parent, last, PackedLinear(packed, module.in_features, pool))
            first += module.out_features
    model.packed = PackedWeights(format, matrices, pool)
    model.requires_grad_(False)


def _first_names(model: nn.Module) -> dict[int, str]:
    """What each parameter is called first; a tied one has several names."""
    names: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), name)
    return names


def _parts(model: nn.Module, matrix: Matrix, first: Mapping[int, str]) -> dict[str, str]:
    """The parameters of a matrix's layers, and what each tensor is called."""
    return {
        f"{layer}.{name}": first[id(parameter)]
        for layer in matrix.layers
        for name, parameter in model.get_submodule(layer).named_parameters()
    }


def _outside_linears(model: nn.Module) -> Iterator[str]:
    """The parameters that aren't linear layers' alone."""
    for place, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            yield from (f"{place}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False))
