"""The speed of products, memory and attention, each run once on this machine."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .cores import usable_cores
from .device import best_device, machine_name, synchronize
from .finding import Finding
from .neighbours import Neighbours
from .profile import memory_key, peak_flops, remember
from .speed import matrix_flops, memory_bytes_per_second
from .threads import torch_threads

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int8)
ATTENTION_SHAPE = (4, 8, 256, 64)  # rows, heads, positions, width of a head
Attention = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def devices() -> Iterator[Finding]:
    """Each kind of device, whether it is there or not."""
    best = best_device()
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(number).total_memory
            yield Finding("Machine", f"CUDA {number}", "ok", f"{torch.cuda.get_device_name(number)}, {memory / 1e9:.0f} GB")
    elif best.type == "mps":
        yield Finding("Machine", "MPS", "ok", machine_name(best))
    elif torch.version.cuda is not None:
        yield Finding("Machine", "GPU", "warn", "this torch is built for CUDA, but finds no GPU", "see what nvidia-smi says")
    else:
        yield Finding("Machine", "GPU", "ok", "none that this torch could use (neither CUDA nor MPS): the CPU computes")


def products() -> Iterator[Finding]:
    """Operations per second of a large matrix product, by number format, on all usable cores."""
    device = best_device()
    for dtype in DTYPES:
        name = str(dtype).removeprefix("torch.")
        try:
            flops = peak_flops(device, dtype)
        except (RuntimeError, TypeError, AttributeError) as error:  # AttributeError: torch's product of int8 is not public
            yield Finding("Speed", name, "none", f"no matrix product here: {first_line(error)}")
            continue
        unit = "operations" if dtype == torch.int8 else "FLOP"
        yield Finding("Speed", name, "ok", f"{flops / 1e9:>8,.1f} G{unit}/s in a matrix product", values={"flops": flops})


def threads() -> Iterator[Finding]:
    """The same product by one thread and by more: beside a busy neighbour more threads can be slower than one."""
    if best_device().type != "cpu" or usable_cores() == 1:
        return
    flops = {}
    for count in sorted({1, usable_cores() // 2, usable_cores()} - {0}):
        with torch_threads(count):
            flops[count] = matrix_flops(torch.device("cpu"), torch.float32)
    text = ", ".join(f"{count}: {value / 1e9:,.0f}" for count, value in flops.items()) + " GFLOP/s by number of threads"
    best, most = max(flops, key=flops.__getitem__), max(flops)
    if flops[most] < 1.2 * flops[1]:
        way_out = "is another program using the cores? Wait, or set train.threads = 1"
        yield Finding("Speed", "threads", "warn", f"{text}: more hardly help", way_out, {"flops": flops, "best": best})
    else:
        yield Finding("Speed", "threads", "ok", text, values={"flops": flops, "best": best})


def memory_speed() -> Iterator[Finding]:
    """Bytes per second to and from memory, by number of threads; the most is remembered."""
    device, watch = best_device(), Neighbours()
    if device.type != "cpu":
        speed = memory_bytes_per_second(device)
        remember(memory_key(device), speed, watch.crowded())
        yield Finding("Speed", "memory", "ok", f"{speed / 1e9:,.0f} GB/s", values={"bytes_per_second": speed})
        return
    speeds = {}
    for count in sorted({1, usable_cores()}):
        with torch_threads(count):
            speeds[count] = memory_bytes_per_second(device)
    remember(memory_key(device), max(speeds.values()), watch.crowded())
    text = ", ".join(f"{count}: {speed / 1e9:.1f}" for count, speed in speeds.items()) + " GB/s by number of threads"
    yield Finding("Speed", "memory", "ok", text, values={"bytes_per_second": speeds})


def attention(kernels: Mapping[str, Attention]) -> Iterator[Finding]:
    """Seconds of causal attention, forward and backward, by textmill's own `kernels` and by each of torch's backends."""
    device = best_device()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    query, key, value = (torch.randn(ATTENTION_SHAPE, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
    for name, kernel in kernels.items():
        seconds = _attention_seconds(partial(kernel, query, key, value, None), device)
        yield Finding("Kernels", f"{name} attention", "ok", f"{1e3 * seconds:.0f} ms", values={"seconds": seconds})
    worked, failed = {}, []
    for name, backend in SDPBackend.__members__.items():
        if name in ("ERROR", "OVERRIDEABLE"):
            continue
        try:
            with sdpa_kernel(backend):
                worked[name.removesuffix("_ATTENTION").lower()] = _attention_seconds(
                    lambda: F.scaled_dot_product_attention(query, key, value, is_causal=True), device
                )
        except RuntimeError:
            failed.append(name.removesuffix("_ATTENTION").lower())
    text = ", ".join(f"{name} {1e3 * seconds:.0f} ms" for name, seconds in sorted(worked.items(), key=lambda item: item[1]))
    text += f"; not on this device: {', '.join(failed)}" if failed else ""
    yield Finding("Kernels", "torch's own", "ok", text, values={"seconds": worked, "failed": failed})


def _attention_seconds(run: Callable[[], Tensor], device: torch.device) -> float:
    """The faster of two runs forward and backward, after one that isn't counted."""
    taken = []
    for _ in range(3):
        before = time.perf_counter()
        run().sum().backward()
        synchronize(device)
        taken.append(time.perf_counter() - before)
    return min(taken[1:])


def first_line(error: Exception) -> str:
    """What an error says first, or its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
