"""Whether the kernels compute here what torch computes: tried before they are used, and told by `textmill doctor`."""

import functools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..machine.finding import Finding
from ..models.attention import eager_attention
from ..models.normalization import plain_norm
from ..models.rotary import rotate
from .library import NoKernels, Pool, library
from .packing import FORMATS, GROUP, LANES, pack, product
from .training import TrainingOperations, operations


@functools.cache
def tried() -> str:
    """The instruction set of the kernels, after one product in each format was what torch makes of it. Raises NoKernels."""
    generator, pool = torch.Generator().manual_seed(0), Pool(1)
    weight, x = (torch.randn(rows, 2 * GROUP, generator=generator) for rows in (LANES + 3, 3))
    for format in FORMATS:
        packed = pack(weight, None, format)
        expected = torch.nn.functional.linear(x, packed.weight())
        error = (product(pool, packed, x) - expected).norm() / expected.norm()
        if not error < (1e-5 if format == "float32" else 0.02):
            raise NoKernels(f"the kernels for {library().instruction_set} compute a product in {format} wrongly here")
    return library().instruction_set


@functools.cache
def training_tried() -> str:
    """The instruction set of a training step's kernels, after each was what torch makes of it. Raises NoKernels."""
    generator = torch.Generator().manual_seed(0)
    fused, (rows, tokens, heads, width) = TrainingOperations(), (2, 9, 2, 2 * LANES)
    x, given = (torch.randn(rows, tokens, heads, width, generator=generator) for _ in range(2))
    weight, angles = torch.randn(width, generator=generator), torch.randn(1, 1, tokens, LANES, generator=generator)
    rotation, by_heads = (angles.cos(), angles.sin()), given.transpose(1, 2)
    linear, square = nn.Linear(width, width, bias=False, device="meta"), torch.randn(width, width, generator=generator)
    linear.weight = nn.Parameter(square)
    pairs: dict[str, tuple[Tensor | None, Tensor]] = {
        "norm": (fused.norm(x, weight, weight, True, 1e-5), plain_norm(x, weight, weight, True, 1e-5)),
        "rotation": (fused.turned(x, None, 0.0, rotation), rotate(x.transpose(1, 2), *rotation)),
        "a feed-forward": (
            fused.feed_forward(x, linear, linear, linear, "silu"),
            F.linear(F.silu(F.linear(x, square)) * F.linear(x, square), square),
        ),
        "attention": (
            fused.attention(by_heads, by_heads, by_heads, True),
            eager_attention(by_heads, by_heads, by_heads, None).transpose(1, 2).flatten(2),
        ),
    }
    for name, (found, expected) in pairs.items():
        if found is None or not (found - expected).norm() < 1e-4 * expected.norm():
            raise NoKernels(f"the kernels for {fused.instruction_set} compute {name} wrongly here")
    return fused.instruction_set


def operations_here() -> TrainingOperations | None:
    """The kernels of a training step where they compute what torch computes; None where torch has to."""
    try:
        return operations(training_tried())
    except NoKernels:
        return None


def probe() -> Iterator[Finding]:
    """What the kernels are here, or why there are none."""
    try:
        text = f"C++ for {training_tried()}, which computes what torch computes: on a CPU training takes steps by it"
        yield Finding("Kernels", "of training", "ok", text, values={"instruction_set": training_tried()})
    except NoKernels as error:
        yield Finding("Kernels", "of training", "none", f"{error}; training takes steps by torch")
    try:
        text = f"C++ for {tried()}, which computes what torch computes: engines read decoders by it"
        yield Finding("Kernels", "textmill's own", "ok", text, values={"instruction_set": tried()})
    except NoKernels as error:
        yield Finding("Kernels", "textmill's own", "none", f"{error}; engines read decoders by torch")
