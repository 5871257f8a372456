"""Run the kernels' tests under the compiler's sanitizers: memory and undefined behaviour, then data races.

    python tools/sanitize.py [addresses] [threads]

The libraries are built anew, with the flags of pyproject.toml and the sanitizers', in a copy of the package that is removed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ["tests/native/test_pool.py", "tests/native/test_products.py", "tests/native/test_native_decoder.py"]
# What is compiled, which of the compiler's libraries must be there before Python's own, and what the sanitizer is told.
SANITIZERS = {
    "addresses": (
        ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
        ["libasan.so", "libubsan.so", "libstdc++.so"],
        {"ASAN_OPTIONS": "detect_leaks=0"},  # Python's own at its end
    ),
    "threads": (
        ["-fsanitize=thread"],
        ["libtsan.so", "libstdc++.so"],
        {"TSAN_OPTIONS": "exitcode=66 ignore_noninstrumented_modules=1"},
    ),
}


def build(folder: Path, flags: list[str]) -> None:
    """The libraries in `folder`, of its own sources. Raises CalledProcessError."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for module in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]:
        output = folder / (module["name"].rpartition(".")[2] + suffix)
        sources = [str(folder / Path(source).name) for source in module["sources"]]
        command = ["g++", *module["extra-compile-args"], "-O1", "-g", "-fno-omit-frame-pointer", *flags, "-shared", "-fPIC"]
        subprocess.run([*command, *sources, "-o", str(output)], check=True)


def run(name: str) -> int:
    """Pytest's exit status under one sanitizer."""
    flags, preloaded, told = SANITIZERS[name]
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "textmill"
        shutil.copytree(ROOT / "src/textmill", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        build(package / "native", flags)
        paths = [subprocess.check_output(["g++", f"-print-file-name={each}"], text=True).strip() for each in preloaded]
        environment = {**os.environ, **told, "PYTHONPATH": scratch, "LD_PRELOAD": " ".join(paths), "OMP_NUM_THREADS": "1"}
        # Addresses that aren't laid out at random: the sanitizers' own tables need some of them.
        pytest = ["setarch", "--addr-no-randomize", sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS]
        return subprocess.run(pytest, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(max(run(name) for name in sys.argv[1:] or SANITIZERS))
