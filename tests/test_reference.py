"""The generated pages are what the code says now, and the schema is one that a recipe fits."""

import json
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from textmill.recipe import describe_fields, recipe_schema

ROOT = Path(__file__).parents[1]
PAGES = runpy.run_path(str(ROOT / "tools" / "make_reference.py"))["pages"]()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_committed_pages_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], "run `make reference` and commit what it writes"


def test_every_key_has_its_line_and_every_table_its_cells() -> None:
    page = PAGES[ROOT / "docs" / "reference.md"]
    for key, *_, meaning in describe_fields():
        assert f"| `{key.partition('.')[2]}` |" in page and meaning.replace("|", "\\|") in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in (4, 5), line


def definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of each section of a recipe."""
    return {
        name: schema["$defs"][section.get("$ref", section.get("allOf", [{}])[0].get("$ref", "")).rpartition("/")[2]]
        for name, section in schema["properties"].items()
    }


def test_the_schema_knows_every_key_and_no_other() -> None:
    sections = definitions(recipe_schema())
    keys = {f"{name}.{key}" for name, section in sections.items() for key in section["properties"]}
    assert keys == {key for key, *_ in describe_fields()}
    assert all(section["additionalProperties"] is False for section in sections.values())
    texts = {f"{name}.{key}": value["description"] for name, section in sections.items()
             for key, value in section["properties"].items()}  # fmt: skip
    assert texts == {key: meaning for key, _, _, meaning in describe_fields()}


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/**/*.toml")), ids=lambda path: str(path.relative_to(ROOT)))
def test_recipes_name_a_schema_that_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    sections = definitions(json.loads((ROOT / "docs" / "recipe.schema.json").read_text(encoding="utf-8")))
    for name, values in tomllib.loads(text).items():
        assert set(values) <= set(sections[name]["properties"])
    first = text.splitlines()[0]
    if first.startswith("#:schema "):
        assert (path.parent / first.removeprefix("#:schema ")).is_file()
