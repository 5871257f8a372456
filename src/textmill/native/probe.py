"""Whether the kernels compute here what torch computes: tried before they are used, and told by `textmill doctor`."""

import functools
from collections.abc import Iterator

import torch

from ..machine.finding import Finding
from .library import NoKernels, Pool, library
from .packing import FORMATS, GROUP, LANES, pack, product


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


def probe() -> Iterator[Finding]:
    """What the kernels are here, or why there are none."""
    try:
        text = f"C++ for {tried()}, which computes what torch computes: engines read decoders by it"
        yield Finding("Kernels", "textmill's own", "ok", text, values={"instruction_set": tried()})
    except NoKernels as error:
        yield Finding("Kernels", "textmill's own", "none", f"{error}; engines read decoders by torch")
