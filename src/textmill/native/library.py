"""The kernels' library for this processor: chosen by what it can do, tried once against torch, and loaded by ctypes.

The package's own build makes one library for each instruction set, where there is a C++ compiler (pyproject.toml).
"""

import ctypes
import functools
from ctypes import c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TextmillError

INSTRUCTION_SETS = ("avx512", "avx2")  # the fastest first
KINDS = ("silu", "gelu", "gelu_tanh", "relu")  # of activations, as activations.h counts them


class NoKernels(TextmillError):
    """The kernels can't be used here, and why."""


class WeightsStruct(ctypes.Structure):
    """`Weights` of products.h."""

    _fields_ = [("format", c_int32), ("unit", c_float), ("outputs", c_int64), ("inputs", c_int64), ("blocks", c_void_p)]


class LinearStruct(ctypes.Structure):
    """`Linear` of shared.h."""

    _fields_ = [("weights", WeightsStruct), ("bias", c_void_p)]


class NormStruct(ctypes.Structure):
    """`Norm` of norm.h."""

    _fields_ = [("weight", c_void_p), ("bias", c_void_p), ("takes_mean", c_int32), ("epsilon", c_float)]


class LayerStruct(ctypes.Structure):
    """`Layer` of decoder.cpp."""

    _fields_ = [
        *((name, NormStruct) for name in ("attention_norm", "feed_forward_norm", "query_norm", "key_norm")),
        *((name, LinearStruct) for name in ("query_key_value", "output", "up", "down")),
        ("keys", c_void_p),
        ("values", c_void_p),
        ("window", c_int64),
        ("rotation", c_int32),
    ]


class DecoderStruct(ctypes.Structure):
    """`Decoder` of decoder.cpp."""

    _fields_ = [
        *((name, c_int64) for name in ("width", "heads", "key_value_heads", "head_dim", "feed_forward_width", "length")),
        *((name, c_int32) for name in ("activation", "gated", "post_norm", "layers")),
        ("layer", ctypes.POINTER(LayerStruct)),
        ("norm", NormStruct),
        ("slopes", c_void_p),
        ("cosine", c_void_p * 2),
        ("sine", c_void_p * 2),
    ]


class TokensStruct(ctypes.Structure):
    """`Tokens` of decoder.cpp."""

    _fields_ = [("count", c_int64), ("row", c_void_p), ("place", c_void_p)]


FUNCTIONS: tuple[tuple[str, Any, list[Any]], ...] = (  # without `textmill_`: what they return, and what they take
    ("runs_here", c_int32, []),
    ("pool_new", c_void_p, [c_int32, c_int32]),
    ("pool_free", None, [c_void_p]),
    ("product", c_int32, [c_void_p, c_void_p, c_void_p, c_int64, c_void_p]),
    ("rows", c_int32, [c_void_p, c_void_p, c_int64, c_int64, c_void_p]),
    ("decoder", c_int32, [c_void_p] * 4),
    ("fit", None, [c_void_p, c_void_p, c_int64, c_void_p, c_void_p]),
)


@dataclass(frozen=True)
class Library:
    """The library of one instruction set."""

    instruction_set: str
    functions: ctypes.CDLL


def found(kind: str = "") -> Library:
    """The fastest that was built and that this processor runs, of the kernels of one kind. Raises NoKernels."""
    folder, reasons = Path(__file__).parent, list[str]()
    sources = max((path.stat().st_mtime for pattern in ("*.cpp", "*.h") for path in folder.glob(pattern)), default=0.0)
    for name in INSTRUCTION_SETS:
        built = sorted(folder.glob(f"_{kind}{name}.*so"))
        if not built:
            reasons.append(f"{name} wasn't built")
            continue
        if built[0].stat().st_mtime < sources:  # its functions may be others
            reasons.append(f"{name} was built from older sources; `pip install -e .` builds it anew")
            continue
        try:
            functions = ctypes.CDLL(str(built[0]))
        except OSError as error:
            reasons.append(f"{name} can't be loaded: {error}")
            continue
        if not getattr(functions, f"textmill_{kind}runs_here")():
            reasons.append(f"this processor hasn't {name}")
            continue
        return Library(name, functions)
    raise NoKernels(f"no C++ kernels: {'; '.join(reasons)}")


@functools.cache
def library() -> Library:
    """The kernels that read models. Raises NoKernels."""
    library = found()
    for name, result, arguments in FUNCTIONS:
        declared = getattr(library.functions, f"textmill_{name}")
        declared.argtypes, declared.restype = arguments, result
    return library


class Pool:
    """Threads of the library that work together. `briefly`: they soon sleep where there is nothing to do, since torch's threads
    work in between."""

    def __init__(self, threads: int, briefly: bool = False):
        self.threads, self.briefly, self.pointer, self._functions = 0, briefly, c_void_p(), library().functions
        self.use(threads, briefly)

    def use(self, threads: int, briefly: bool) -> None:
        """Have so many of them from now on, which wait so; bits don't depend on it."""
        if (threads, briefly) != (self.threads, self.briefly):
            self._functions.textmill_pool_free(self.pointer)
            self.pointer = c_void_p(self._functions.textmill_pool_new(threads, briefly))
            self.threads, self.briefly = threads, briefly

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self._functions.textmill_pool_free(self.pointer)
