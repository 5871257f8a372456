"""What a recipe wants a model written as is there after the training, or is refused before it."""

import shutil
from pathlib import Path

import pytest

from textmill import load
from textmill.errors import RecipeError
from textmill.formats.gguf import load_gguf
from textmill.models.architectures import ARCHITECTURES, FAMILIES
from textmill.recipe import check_recipe


def recipe_of(model: dict[str, object], formats: list[str] | None = None):
    export = {} if formats is None else {"export": {"formats": formats}}
    return check_recipe({"corpus": {"source": "x"}, "train": {"steps": 9}, "model": model, **export}, "recipe")


@pytest.mark.parametrize("name", [name for name, each in ARCHITECTURES.items() if FAMILIES[each.config].writes])
def test_every_architecture_leaves_by_default(name: str) -> None:
    recipe_of({"architecture": name})


def test_what_no_stock_class_holds_is_refused_unless_nothing_is_to_leave() -> None:
    shape = {"architecture": "llama", "positions": "alibi"}
    with pytest.raises(RecipeError, match=r"positions is alibi, .* write \[export\] formats = \[\] to train it"):
        recipe_of(shape)
    recipe_of(shape, [])
    with pytest.raises(RecipeError, match=r"llama\.cpp has no architecture .*formats = \['huggingface'\]"):
        recipe_of({"architecture": "modernbert"}, ["huggingface", "gguf"])


def test_a_run_leaves_as_a_gguf_file_too(tiny_run: Path, textmill, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(tiny_run.parent.parent, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    changes = ("--set", 'export.formats=["huggingface", "gguf"]', "--until", "model")
    result = textmill("run", "tiny.toml", *changes)
    assert result.code == 0 and "train: done before" in result.out
    run = Path("runs/tiny")
    assert load_gguf(run / "model.gguf").config == load(run).model.config
    assert textmill("run", "tiny.toml", "--until", "model").code == 0
    assert not (run / "model.gguf").exists()
