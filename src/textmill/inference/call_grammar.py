"""What an answer may be where functions may be called: text, and calls whose arguments fit the functions' schemas.

Text is free until a call's opening tag is complete; from there on only a call of one of the functions can be written. Sample
calls, one of each function, show a way to the end from wherever a call stands.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..tokens.tool_calls import CLOSING, OPENING, head

# As json.dumps writes, or without spaces: what models have read most.
SPACED = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
FOR_READERS = {"title", "description", "$comment", "default", "examples"}  # keys of a schema that bind nothing
DATA = {"const", "enum"}  # keys whose values are no schemas
NAMED = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}  # keys with schemas by names
MOST_SAMPLES = 4  # that are tried at one place


def lark(functions: Mapping[str, Any], required: bool, several: bool) -> str:
    """The grammar, in llguidance's Lark: calls of `functions`, whose parameters are given by their names. `required`: there is
    a call, and no text before it; `several`: there may be more than one."""
    more = f"({json.dumps(chr(10) + OPENING)} call)*" if several else ""
    rules = [f"start: {json.dumps(OPENING)} call {more}"]
    if not required:
        rules = [f"start: opened call {more} | text", "text: TEXT", "TEXT: /(.|\\n)*/"]
        rules.append(f"opened[lazy]: TEXT {json.dumps(OPENING)}")
    rules.append("call: " + " | ".join(f"call_{number}" for number in range(len(functions))))
    for number, (name, parameters) in enumerate(functions.items()):
        rules.append(f"call_{number}: {json.dumps(head(name))} arguments_{number} {json.dumps(CLOSING)}")
        rules.append(f"arguments_{number}: {of_arguments(parameters)}")
    return "\n".join(rules)


def of_arguments(parameters: Mapping[str, Any]) -> str:
    """The part of such a grammar that is a function's arguments."""
    return "%json " + json.dumps({**parameters, "x-guidance": SPACED})


def binding(schema: Any) -> Any:
    """A schema without what it says to readers, which may be most of it. It isn't nested deep."""
    if isinstance(schema, list):
        return [binding(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key in NAMED and isinstance(value, dict):
            found[key] = {name: binding(part) for name, part in value.items()}
        elif key not in FOR_READERS:
            found[key] = value if key in DATA else binding(value)
    return found


def rests(samples: Sequence[bytes], written: bytes) -> Iterator[bytes]:
    """What may be missing of the call that an answer stands in, by sample calls, the shortest first."""
    opening = OPENING.encode()
    _, closed, begun = written.rpartition(CLOSING.encode())
    if opening in begun:
        begun = begun[begun.index(opening) :]
    elif closed:
        begun = begun.removeprefix(b"\n")
    fitting = [sample[len(begun) :] for sample in samples if sample.startswith(begun)]
    return iter(sorted(fitting, key=len)[:MOST_SAMPLES])
