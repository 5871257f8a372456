"""A small value that probably fits a JSON schema: only what is required, and of each the least.

It is a first guess at the shortest answer, which the grammar's matcher confirms or refuses; so it needn't know every keyword.
"""

import json
from collections.abc import Callable
from typing import Any

String = Callable[[dict[str, Any]], str]
MOST_DEPTH, MOST_ITEMS, MOST_PARTS = 64, 1000, 4000


class _TooLarge(Exception):
    """The value has more parts than are worth while."""


def small_instance(schema: Any, string: String) -> Any:
    """The value; `string` finds one for a part that asks for a pattern or a format. None where nothing small was found."""
    try:
        return _Making(schema, string).value(schema, MOST_DEPTH)
    except (_TooLarge, TypeError, AttributeError):  # these for a schema that the library took, and that has odd values
        return None


class _Making:
    """One value while it is made, of at most `MOST_PARTS` parts: schemas that refer to themselves could ask for any number."""

    def __init__(self, root: Any, string: String):
        self.root, self.string, self.left = root, string, MOST_PARTS

    def value(self, schema: Any, depth: int) -> Any:
        """A value for a part of the schema, at most so deep."""
        self.left -= 1
        if not self.left:
            raise _TooLarge
        if not isinstance(schema, dict) or not depth:
            return None
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return _shortest(schema["enum"])
        if isinstance(reference := schema.get("$ref"), str):
            return self.value(self._target(reference), depth - 1)
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                return _shortest([self.value(one, depth // 2) for one in schema[key]])
        kinds = schema.get("type", "object" if "properties" in schema else "null")
        match kinds[0] if isinstance(kinds, list) and kinds else kinds:
            case "object":
                return self._object(schema, depth)
            case "array":
                least = min(schema.get("minItems", 0), MOST_ITEMS)
                parts = schema.get("prefixItems", [])[:least]
                return [self.value(one, depth - 1) for one in [*parts, *[schema.get("items")] * (least - len(parts))]]
            case "string":
                special = "pattern" in schema or "format" in schema
                return self.string(schema) if special else "a" * min(schema.get("minLength", 0), MOST_ITEMS)
            case "integer" | "number":
                return schema.get("minimum", 0)
            case "boolean":
                return True
        return None

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        needed, parts = schema.get("required", []), schema.get("properties", {})
        ordered = [name for name in parts if name in needed] + [name for name in needed if name not in parts]
        return {name: self.value(parts.get(name), depth - 1) for name in ordered}

    def _target(self, reference: str) -> Any:
        """What a reference inside the schema points to."""
        target = self.root
        for name in reference.removeprefix("#").split("/")[1:]:
            target = target.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        return target


def _shortest(values: list[Any]) -> Any:
    return min(values, key=lambda one: len(json.dumps(one)), default=None)
