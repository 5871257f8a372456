"""The lines of a .jsonl, of each of which a task makes an example. What can't be read is told with its line, all together."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from .examples import refuse_lines

Read = TypeVar("Read")


class Malformed(ValueError):
    """What is wrong with a line, in words that are the same for all lines of its kind."""


class LeftOut(ValueError):
    """Why a line that can be read is of no use."""


def json_lines(
    path: Path, text: str, form: str, read: Callable[[dict[str, Any]], Read], left_out: dict[str, list[int]]
) -> Iterator[tuple[int, Read]]:
    """The number of each line, counted from 1, and what `read` makes of its object, which raises Malformed or LeftOut for what
    it doesn't take; the latter are noted in `left_out`. `form`: how a line is to be written.

    Raises TaskError after the last line, with all that can't be read."""
    problems: dict[str, list[int]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise Malformed(f"no JSON object; {form}")
            found = read(value)
        except Malformed as error:
            problems.setdefault(str(error), []).append(number)
        except LeftOut as error:
            left_out.setdefault(str(error), []).append(number)
        except (json.JSONDecodeError, RecursionError):
            problems.setdefault(f"no JSON; {form}", []).append(number)
        else:
            yield number, found
    refuse_lines(path, problems)
