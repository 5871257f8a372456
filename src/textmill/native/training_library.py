"""The library of a training step's kernels (training.cpp): its functions and structs, as ctypes calls them."""

import ctypes
import functools
from collections.abc import Callable, Sequence
from ctypes import c_float, c_int32, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from .library import Library, NoKernels, NormStruct, found

LANES = 16  # a number of columns is a multiple of it
OPENMP = "GOMP_parallel"  # how torch's own OpenMP has threads work, on Linux
SIGNATURES: dict[str, list[type]] = {
    "set_openmp": [c_void_p],
    "norm": [c_int32, c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_void_p],
    "norm_backward": [c_int32, *[c_void_p] * 4, c_int64, c_int64, *[c_void_p] * 3],
    "turn": [c_void_p] * 4,
    "turn_backward": [c_void_p] * 6,
    "activate": [c_void_p] * 2,
    "activate_backward": [c_void_p] * 5,
    "attend": [c_void_p],
    "attend_backward": [c_void_p] * 5,
    "cross_entropy": [c_int32, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_float, c_float, c_void_p],
    "orthogonalise": [c_int32, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int64],
}


class TurnStruct(ctypes.Structure):
    """`Turn` of training.cpp."""

    _fields_ = [
        *((name, c_int64) for name in ("rows", "tokens", "heads", "width", "token_stride", "table_stride")),
        ("cosine", c_void_p),
        ("sine", c_void_p),
        ("norm", NormStruct),
        ("threads", c_int32),
    ]


class HeadsStruct(ctypes.Structure):
    """`Heads` of scores.h."""

    _fields_ = [("at", c_void_p), ("row", c_int64), ("head", c_int64), ("token", c_int64)]

    @classmethod
    def of(cls, heads: Tensor) -> "HeadsStruct":
        """Of (B, H, T, d), while that lives."""
        return cls(heads.data_ptr(), *heads.stride()[:3])


class ScoresStruct(ctypes.Structure):
    """`Scores` of scores.h."""

    _fields_ = [
        *((name, c_int64) for name in ("rows", "heads", "key_value_heads", "queries", "keys", "head_dim")),
        ("causal", c_int32),
        ("threads", c_int32),
        *((name, HeadsStruct) for name in ("query", "key", "value", "found")),
        ("log_sums", c_void_p),
    ]


class InnerStruct(ctypes.Structure):
    """`Inner` of activations.h."""

    _fields_ = [
        ("kind", c_int32),
        ("threads", c_int32),
        *((name, c_int64) for name in ("rows", "width", "apart")),
        ("gate", c_void_p),
        ("up", c_void_p),
    ]


@functools.cache
def training_library() -> Library:
    """The fastest that was built and that this processor runs. Raises NoKernels."""
    library = found("training_")
    try:
        parallel = getattr(ctypes.CDLL(None), OPENMP)
    except AttributeError:
        raise NoKernels(f"torch runs on another OpenMP here than the kernels of training know ({OPENMP})") from None
    for name, arguments in SIGNATURES.items():
        declared = getattr(library.functions, f"textmill_{name}")
        declared.argtypes, declared.restype = arguments, None
    library.functions.textmill_set_openmp(ctypes.cast(parallel, c_void_p))
    return library


def call(name: str, *arguments: Any) -> None:
    """Run one of the library's functions."""
    getattr(training_library().functions, f"textmill_{name}")(*arguments)


def pointer(tensor: Tensor | None) -> int | None:
    """Where its numbers lie, as those functions take it."""
    return None if tensor is None else tensor.data_ptr()


def fits(*tensors: Tensor | None) -> bool:
    """Whether these are numbers that the kernels read, and nobody is looking on who would compile them."""
    given = [tensor for tensor in tensors if tensor is not None]
    plain = all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in given)
    return plain and not torch.compiler.is_compiling()


def again(function: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor) -> list[Tensor | None]:
    """The gradients of the plain way, which can be differentiated themselves."""
    wanted = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
    found = iter(torch.autograd.grad(function(*inputs), wanted, gradient, create_graph=True))
    return [next(found) if tensor is not None and tensor.requires_grad else None for tensor in inputs]
