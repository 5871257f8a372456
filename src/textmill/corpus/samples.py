"""Two texts to begin with: a real Wikipedia dump sample from the package index, and what Python says about itself.

The dump sample lies in the gensim wheel; it is taken out as data, and nothing is installed.
"""

import ast
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from ..errors import CorpusError, nearest
from ..files import atomic_file, sha256_of_file
from ..progress import Progress

SAMPLES = ("wikipedia", "standard-library")
WIKIPEDIA_SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
_MEMBER = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
_DOWNLOAD = [
    "--no-deps",
    "--only-binary=:all:",
    "--python-version",
    "3.13",
    "--implementation",
    "cp",
    "--abi",
    "cp313",
    "--platform",
    "manylinux_2_28_x86_64",
    "--disable-pip-version-check",
    "--no-input",
    "gensim==4.4.0",
]
_NOT_DOCUMENTED = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "__phello__"})


def fetch_sample(name: str, progress: Progress | None = None, cache_folder: Path | None = None) -> Path:
    """The file of the sample `name`, fetched or made on the first call, kept in `cache_folder` (default: the user's).

    Raises CorpusError where the name isn't known or the fetch fails, with the way out.
    """
    folder = cache_folder or platformdirs.user_cache_path("textmill") / "samples"
    if name == "wikipedia":
        return _wikipedia(folder, progress)
    if name == "standard-library":
        return _standard_library(folder)
    raise CorpusError(f"there is no sample {name!r}{nearest(name, SAMPLES)}; there are {' and '.join(SAMPLES)}")


def _wikipedia(folder: Path, progress: Progress | None) -> Path:
    path = folder / "wikipedia-sample.xml.bz2"
    if path.exists() and sha256_of_file(path) == WIKIPEDIA_SHA256:
        return path
    if progress:
        progress.say("fetching the Wikipedia sample: one file of the gensim wheel (28 MB); nothing is installed")
    with tempfile.TemporaryDirectory(prefix="textmill-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", temporary, *_DOWNLOAD]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        wheels = list(Path(temporary).glob("*.whl"))
        if result.returncode or not wheels:
            last = (result.stderr.strip() or result.stdout.strip() or "pip said nothing").splitlines()[-1]
            raise _no_sample(f"pip could not download it: {last}")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(_MEMBER) as member, atomic_file(path) as stream:
                while chunk := member.read(1 << 20):
                    stream.write(chunk)
        except (zipfile.BadZipFile, KeyError) as error:
            raise _no_sample(f"the wheel that came does not hold it ({error})") from error
    if (found := sha256_of_file(path)) != WIKIPEDIA_SHA256:
        path.unlink()
        raise _no_sample(f"what came has another content (SHA-256 {found}, expected {WIKIPEDIA_SHA256})")
    return path


def _no_sample(reason: str) -> CorpusError:
    return CorpusError(
        f"the Wikipedia sample can't be had: {reason}. Without a network: textmill run recipes/standard-library.toml "
        "does the same with a text that every Python has; or set corpus.source to text of your own"
    )


def _standard_library(folder: Path) -> Path:
    """Python's own help topics and the docstrings of its library, one document a topic and one a module."""
    path = folder / f"standard-library-python-{'.'.join(map(str, sys.version_info[:3]))}.jsonl"
    if path.exists():
        return path
    with atomic_file(path, "w") as stream:
        for identifier, title, text in (*_topics(), *_modules()):
            record = {"id": identifier, "title": title, "text": text}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def _topics() -> Iterator[tuple[str, str, str]]:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise CorpusError(f"this Python has no help topics ({error}); install its full standard library") from error
    for topic, text in sorted(topics.items()):
        yield f"topic:{topic}", topic, text


def _modules() -> Iterator[tuple[str, str, str]]:
    """The docstrings of each module of the standard library, read from its source without importing it."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _NOT_DOCUMENTED & set(parts) or parts[0] not in sys.stdlib_module_names:
            continue
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):  # templates of other tools' code, which Python doesn't read either
            continue
        text = "\n\n".join(_documentation(tree, ""))
        if text:
            yield f"module:{module}", module, f"{module}\n\n{text}"


def _documentation(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[str]:
    """What `node` and all below it say of themselves, each under its signature."""
    if docstring := ast.get_docstring(node):
        signature = f"({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""
        kind = "class " if isinstance(node, ast.ClassDef) else ""
        heading = f"{kind}{name}{signature}\n\n" if name else ""
        yield heading + re.sub(r"[ \t]+$", "", docstring, flags=re.MULTILINE)
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _documentation(child, f"{name}.{child.name}" if name else child.name)
