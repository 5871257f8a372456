"""Whether torch.compile works here, found by compiling: in a process of its own, since a compiler can hang.

Run as a program, this file is that process: it compiles a function with its gradient, then flexible attention, and prints
one JSON line for each that worked.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from .device import best_device
from .finding import Finding

GET_COMPILER = {
    "linux": "apt install g++, or your system's own C++ compiler",
    "darwin": "xcode-select --install",
    "win32": "install Visual Studio's build tools for C++, and run in its developer prompt",
}


def compiling(limit: float) -> Iterator[Finding]:
    """Compile for `limit` seconds at most. Finds `compile`, and flexible attention where that works."""
    with tempfile.TemporaryDirectory(prefix="textmill-", ignore_cleanup_errors=True) as cache:
        # An empty cache, so that the compiler really runs; one thread, so that no pool of workers is left behind.
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        output, errors = Path(cache) / "output", Path(cache) / "errors"
        with open(output, "wb") as out, open(errors, "wb") as err:
            command = [sys.executable, "-m", "textmill.machine.compiling"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
            finished = _wait(process, limit)
        results = {}
        for line in output.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                results.update(json.loads(line))
        reason = _reason(errors.read_text(encoding="utf-8", errors="replace"))
    if "compile" in results:
        seconds = results["compile"]
        text = f"works: a small function and its gradient took {seconds:.0f} s the first time"
        yield Finding("Kernels", "compile", "ok", text, values={"seconds": seconds})
    elif not finished:
        text = f"not done after {limit:.0f} s; a machine this slow or busy gains nothing from it in short runs"
        yield Finding("Kernels", "compile", "warn", text, "train.compile = 'off' leaves it out")
    else:
        way_out = GET_COMPILER.get(sys.platform, GET_COMPILER["linux"])
        if best_device().type == "cuda" and "triton" in reason.lower():
            way_out = "pip install triton (on Windows triton-windows), or install torch's own build for CUDA"
        yield Finding("Kernels", "compile", "none", f"does not work: {reason}", f"{way_out}; all else works without it")
    if "flex" in results:
        text = f"works, compiled in {results['flex']:.0f} s; tried where documents or windows are trained on a GPU"
        yield Finding("Kernels", "flex attention", "ok", text, values={"seconds": results["flex"]})


def _wait(process: subprocess.Popen[bytes], limit: float) -> bool:
    """Whether the process ended by itself in time; if not, it and all that it started are ended."""
    try:
        process.wait(limit)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        process.kill()
        process.wait()


def _reason(errors: str) -> str:
    """The last line of a traceback that names the error: `InvalidCxxCompiler: No working C++ compiler found …`."""
    lines = [line for line in errors.splitlines() if line and not line[0].isspace() and "Error" in line.split(":")[0]]
    return (lines[-1] if lines else (errors.strip() or "it said nothing").splitlines()[-1]).removeprefix(
        "torch._inductor.exc.InductorError: "
    )


def main() -> None:
    """Compile, compare with the plain function, and print the seconds of each that worked."""
    device = best_device()
    inputs = torch.randn(32, 64, device=device)
    weights = torch.randn(64, 64, device=device, requires_grad=True)

    def loss(inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(inputs @ weights).square().mean()

    expected = torch.autograd.grad(loss(inputs, weights), weights)[0]
    before = time.perf_counter()
    found = torch.autograd.grad(torch.compile(loss)(inputs, weights), weights)[0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    print(json.dumps({"compile": time.perf_counter() - before}), flush=True)

    from torch.nn.attention.flex_attention import flex_attention

    query = torch.randn(1, 2, 128, 64, device=device)
    before = time.perf_counter()
    torch.compile(flex_attention)(query, query, query)
    print(json.dumps({"flex": time.perf_counter() - before}), flush=True)


if __name__ == "__main__":
    main()
