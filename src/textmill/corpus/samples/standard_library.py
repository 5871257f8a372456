"""What Python says about itself: a text that every machine has, with no network."""

import ast
import json
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from ...errors import CorpusError
from ...files import atomic_file
from ...progress import Progress
from .sample import Sample

_NOT_DOCUMENTED = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "__phello__"})


def _fetch(path: Path, progress: Progress | None) -> None:
    """Python's own help topics and the docstrings of its library, one document a topic and one a module."""
    with atomic_file(path, "w") as stream:
        for identifier, title, text in (*_topics(), *_modules()):
            record = {"id": identifier, "title": title, "text": text}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


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


SAMPLE = Sample(
    name="standard-library",
    kind="text",
    file=f"standard-library-python-{'.'.join(map(str, sys.version_info[:3]))}.jsonl",
    sha256=None,
    contents="Python's own help topics and the docstrings of its standard library, in English",
    size="some 3 MB, made without a network",
    licence="PSF-2.0",
    fetch=_fetch,
)
