"""A process that renders one chat template for another process: a template out of someone's folder is a program, which
may loop for ever or double a text forty times. Here it can take neither the machine's memory nor the user's time.

The environment is the one that transformers renders in, so that the same text comes out.
"""

import contextlib
import datetime
import functools
import json
import sys
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.sandbox
from jinja2 import nodes
from jinja2.parser import Parser

MOST_MEMORY = 1 << 30  # bytes of addresses; Python and jinja2 take a tenth of it
MOST_CHARACTERS = 16_000_000  # of a rendered conversation; the longest contexts hold less


class Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what an assistant said, for training; what stands in it is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 reads it of the class)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def environment() -> jinja2.Environment:
    """What a chat template finds around it."""
    found = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    found.filters["tojson"] = _to_json  # jinja2's own escapes HTML
    found.globals["raise_exception"] = _raise
    found.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    found.globals["dict"] = lambda *values, **named: dict(*values, **named)
    return found


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


@functools.lru_cache(maxsize=1)
def _compiled(source: str) -> jinja2.Template:
    """The template, which is the same for every line that one worker is sent."""
    return environment().from_string(source)


def _render(source: str, variables: dict[str, Any]) -> dict[str, str]:
    """The text, or what was wrong."""
    pieces, size = [], 0
    try:
        for piece in _compiled(source).generate(variables):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_CHARACTERS:
                return {"problem": f"it writes more than {MOST_CHARACTERS:,} characters"}
        return {"text": "".join(pieces)}
    except MemoryError:
        return {"problem": "it needs more memory than a template gets"}
    except jinja2.TemplateSyntaxError as error:
        return {"problem": f"line {error.lineno}: {error.message}"}
    except Exception as error:  # whatever a stranger's program does wrong
        return {"problem": f"{error}" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"}


def work() -> None:
    """Answer each line, a JSON object of the template and its variables, by one with the text or the problem."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(ValueError, OSError):  # some systems limit other things only
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    answers.write(b"\n")  # ready: the clock starts now
    answers.flush()
    for line in requests:
        answers.write(json.dumps(_render(**json.loads(line))).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    work()
