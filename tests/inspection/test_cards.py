"""`textmill inspect`: what it says agrees with the model, the run and the recipe; damage is named."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from textmill import load
from textmill.inspection.model import parameters_by_part
from textmill.models.count import count
from textmill.models.settings import PRESETS, ModelSettings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("tied", [True, False])
def test_parts_add_up_to_what_counting_says(preset: str, tied: bool) -> None:
    config = ModelSettings(preset=preset, tied_embeddings=tied).config(5000)
    parts = parameters_by_part(config)
    assert parts["all"] == count(config).parameters == sum(size for part, size in parts.items() if part != "all")
    assert parts["embedding"] == count(config).embedding_parameters
    assert (parts["head"] == 0) == tied


def test_a_pooler_is_a_part_of_its_own() -> None:
    """As in MiniLM: BERT's body without the head."""
    bert = ModelSettings(architecture="bert", preset="0.5m", layers=2, width=64, context_length=32).config(500)
    config = dataclasses.replace(bert, masked_head=False, pooler=True)
    parts = parameters_by_part(config)
    assert parts["pooler"] == 64 * 64 + 64 and parts["head"] == 0
    assert parts["embedding"] == (500 + 32 + 2) * 64
    assert parts["norms"] == (1 + 2 * 2) * 2 * 64  # of the embeddings, and two in each layer
    assert parts["all"] == count(config).parameters == sum(size for part, size in parts.items() if part != "all")


def test_a_model(textmill, tiny_run: Path) -> None:
    card = json.loads(textmill("inspect", tiny_run / "model", "--json").out)
    model = load(tiny_run).model
    assert card["parameters"]["all"] == sum(parameter.numel() for parameter in model.parameters())
    assert card["shape"]["context_length"] == 64 and card["weight_formats"] == ["F32"]
    assert set(card["lineage"]["sources"]) == {"text.jsonl"}
    shown = textmill("inspect", tiny_run / "model").out
    for part in ("Shape", "Parameters", "Costs", "Tokenizer", "none: a base model", "Lineage", "Training", "Scores", "7-gram"):
        assert part in shown, part


def test_a_run_that_is_finished_stale_and_unfinished(textmill, tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tiny_run.parents[1])
    whole = json.loads(textmill("inspect", tiny_run, "--json").out)
    assert {stage["state"] for stage in whole["stages"].values()} == {"done"}
    assert whole["checkpoints"][-1]["step"] == whole["checkpoints"][-1]["of"] == 20
    assert "Twice as long in all: textmill run" in textmill("inspect", tiny_run).out
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    recipe = (run / "recipe.toml").read_text(encoding="utf-8")
    (run / "recipe.toml").write_text(recipe.replace("vocabulary_size = 400", "vocabulary_size = 401"), encoding="utf-8")
    stale = json.loads(textmill("inspect", run, "--json").out)["stages"]
    assert [stale[name]["state"] for name in ("corpus", "tokenizer", "train")] == ["done", "stale", "stale"]
    (run / "recipe.toml").write_text(recipe, encoding="utf-8")
    shutil.rmtree(run / "model")
    shown = textmill("inspect", run).out
    assert f"{run}: a run, next stage: model" in shown
    assert f"Go on: textmill run {run}/recipe.toml --out {run}" in shown
    assert "flowchart" in textmill("inspect", run, "--mermaid").out  # from its recipe, as there is no model yet


def test_a_run_whose_text_has_moved_is_not_called_stale(textmill, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    paths = json.loads((run / "sources.json").read_text())
    (run / "sources.json").write_text(json.dumps({f"/gone{path}": known for path, known in paths.items()}))
    result = textmill("inspect", run)
    assert result.code == 0 and "done, its source isn't here" in result.out


@pytest.mark.parametrize("recipe", sorted(ROOT.glob("recipes/**/*.toml")), ids=lambda path: path.name)
def test_recipes(textmill, recipe: Path) -> None:
    card = json.loads(textmill("inspect", recipe, "--json").out)
    train, model = card["recipe"]["train"], card["recipe"]["model"]
    assert card["tokens_per_step"] == train["batch_size"] * model["context_length"]
    assert "Do it: textmill run" in textmill("inspect", recipe, "--set", "model.layers=2").out


def test_what_is_damaged_or_strange_is_named(textmill, tiny_run: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_run / "model", model)
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-100])
    (tmp_path / "x.gguf").write_bytes(b"GGUF\3\0\0\0")
    (tmp_path / "bad.toml").write_text("[train]\nstepz = 1\n")
    cases = {model: "is not as textmill wrote it", tmp_path / "x.gguf": "a GGUF file", tmp_path / "no": "does not exist",
             tmp_path / "bad.toml": "did you mean 'steps'", tmp_path: "it is not a model folder"}  # fmt: skip
    shutil.move(model, tmp_path.parent / f"{tmp_path.name}-model")
    cases[tmp_path.parent / f"{tmp_path.name}-model"] = cases.pop(model)
    for path, expected in cases.items():
        for flag in ([], ["--json"]):
            result = textmill("inspect", path, *flag)
            assert result.code == 2 and expected in result.err, (path, result.err)
            assert "Traceback" not in result.err
