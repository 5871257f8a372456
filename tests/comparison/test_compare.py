"""`textmill compare` on real trainings: each once, stopped and gone on with; what can't be compared is refused."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from textmill.comparison.compare import compare_recipes
from textmill.comparison.plan import Limit, plan_comparison
from textmill.errors import RecipeError
from textmill.files import read_sealed
from textmill.models.count import count
from textmill.recipe import load_recipe

from ..commands import Starter

FOLDER = Path("runs") / "compare-narrow-wide"


@pytest.fixture(scope="module")
def make_place(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> Callable[[], Path]:
    """Makes folders with two recipes and their text, where a checkpoint is written every few steps."""

    def make() -> Path:
        place, source = tmp_path_factory.mktemp("compare"), tiny_run.parents[1]
        (place / "text.jsonl").write_bytes((source / "text.jsonl").read_bytes())
        narrow = (source / "tiny.toml").read_text().replace("steps = 20", "steps = 20\ncheckpoint_steps = 5")
        (place / "narrow.toml").write_text(narrow)
        (place / "wide.toml").write_text(narrow.replace("width = 32", "width = 48").replace("steps = 20", "steps = 30"))
        return place

    return make


@pytest.fixture(scope="module")
def place(make_place: Callable[[], Path]) -> Path:
    """Such a folder with a finished comparison: two recipes, two seeds."""
    place = make_place()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        compare_recipes(plan_comparison([Path("narrow.toml"), Path("wide.toml")], 2, Limit(steps=20)))
    return place


@pytest.fixture
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(place)
    yield place


def result(folder: Path) -> dict[str, Any]:
    return read_sealed(folder / "comparison.json")


def test_each_system_stands_once_in_the_table_and_its_interval_holds_it(place: Path) -> None:
    [found] = result(place / FOLDER)["tables"]
    assert sorted(system["name"] for system in found["systems"]) == ["7-gram", "narrow", "wide", "xz"]
    table = (place / FOLDER / "comparison.md").read_text()
    for system in found["systems"]:
        score = system["score"]
        assert score["low"] < score["value"] < score["high"]
        assert score["value"] == pytest.approx(sum(system["by_seed"]) / len(system["by_seed"]))
        assert table.count(f"| {system['name']} | {score['value']:.3f} |") == 1
        for run in system["runs"]:
            assert run["steps"] == 20 and run["memory"] > 1e8 and run["energy"] > 0
            own = json.loads((place / FOLDER / run["folder"] / "evaluation.json").read_text())["systems"][0]
            assert own["bits_per_byte"]["value"] == pytest.approx(system["by_seed"][run["seed"]])
    assert len(found["differences"]) == 6
    for difference in found["differences"]:
        assert difference["low"] < difference["value"] < difference["high"]
        assert difference["noise"] == (difference["low"] <= 0)
    assert "means over 2 seeds" in table


def test_the_picture_names_every_system_and_suits_light_and_dark(place: Path) -> None:
    picture = (place / FOLDER / "comparison.svg").read_text()
    names = ElementTree.fromstring(picture).itertext()
    [table] = result(place / FOLDER)["tables"]
    scores = {f"{system['name']} {system['score']['value']:.2f}" for system in table["systems"]}
    assert scores <= {text.strip() for text in names}
    assert (
        "prefers-color-scheme: dark" in picture
        and "#050505" not in picture
        and "(comparison.svg)" in (place / FOLDER / "comparison.md").read_text()
    )


def test_the_text_is_cleaned_once_for_all(place: Path) -> None:
    outputs = ("corpus/train.jsonl.zst", "tokens/manifest.json")
    folders = [folder for folder in (place / FOLDER).iterdir() if folder.is_dir()]
    assert len(folders) == 4
    assert all(len({os.stat(folder / name).st_ino for folder in folders}) == 1 for name in outputs)


def test_the_same_command_trains_nothing_and_finds_the_same(there: Path, textmill: Callable[..., Any]) -> None:
    before = (FOLDER / "comparison.json").read_bytes()
    weights = [path.stat().st_mtime_ns for path in sorted(FOLDER.rglob("model.safetensors"))]
    again = textmill("compare", "narrow.toml", "wide.toml", "--seeds", 2, "--steps", 20)
    assert again.code == 0 and "4 of 4 trainings are done already" in again.out
    assert (FOLDER / "comparison.json").read_bytes() == before
    assert [path.stat().st_mtime_ns for path in sorted(FOLDER.rglob("model.safetensors"))] == weights


def test_stopped_and_gone_on_with_is_as_never_stopped(
    place: Path, make_place: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, textmill: Callable[..., Any], starter: Starter
) -> None:
    elsewhere = make_place()
    words = ["compare", "narrow.toml", "--seeds", "1", "--steps", "20", "--out", str(FOLDER)]
    process = starter.leave(elsewhere, *words)
    process.until((elsewhere / FOLDER / "narrow-seed-0" / "metrics.jsonl").exists)
    assert process.end(signal.SIGTERM) == 143, process.errors.read_text()
    assert not (elsewhere / FOLDER / "comparison.json").exists()
    monkeypatch.chdir(elsewhere)
    assert textmill(*words).code == 0
    stopped, whole = ({s["name"]: s for s in result(folder / FOLDER)["tables"][0]["systems"]} for folder in (elsewhere, place))
    for name in stopped:
        assert stopped[name]["by_seed"] == whole[name]["by_seed"][:1]


def test_a_run_that_fails_is_named_and_hinders_no_other(there: Path, textmill: Callable[..., Any]) -> None:
    Path("broken.toml").write_text(
        Path("narrow.toml").read_text().replace("[train]", f'[train]\nsample_prompt = "{"q " * 99}"')
    )
    words = ("compare", "broken.toml", "narrow.toml", "--seeds", 1, "--steps", 20, "--out", FOLDER)
    ended = textmill(*words)
    assert ended.code == 1
    assert "broken, seed 0 failed: train.sample_prompt is" in ended.out and "narrow" in ended.out
    found = result(FOLDER)
    assert list(found["failures"]) == ["broken, seed 0"]
    assert "broken" not in [system["name"] for system in found["tables"][0]["systems"]]


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        (["narrow.toml", "there.toml"], ["there is no recipe there.toml"]),
        (["narrow.toml", "other.toml"], ["corpus.validation_fraction is 0.2 in narrow and 0.3 in other",
                                         "evaluate.ngram_order is 7 in narrow and 4 in other"]),
        (["narrow.toml", "wide.toml", "--steps", 5, "--time", "1m"], ["--time, --steps are given together"]),
        (["narrow.toml", "wide.toml", "--time", "soon"], ["--time soon: train.time: write a number above 0 and a unit"]),
        (["narrow.toml", "wide.toml", "--flops", "1e3"], ["--flops 1000 is not enough for one step"]),
        (["narrow.toml", "narrow.toml"], ["2 recipes are called narrow"]),
        (["narrow.toml", "--steps", 10, "--out", FOLDER], ["it was made with 20 steps, not 10 steps"]),
        (["narrow.toml", "--set", "model.width=64", "--steps", 20, "--out", FOLDER], ["model.width was 32 and is 64"]),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    there: Path, textmill: Callable[..., Any], options: list[object], problems: list[str]
) -> None:
    other = Path("narrow.toml").read_text().replace("validation_fraction = 0.2", "validation_fraction = 0.3")
    Path("other.toml").write_text(other.replace("[evaluate]", "[evaluate]\nngram_order = 4"))
    before = sorted(Path("runs").rglob("*"))
    ended = textmill("compare", *options)
    assert ended.code == 2 and all(problem in ended.err for problem in problems), ended.err
    assert sorted(Path("runs").rglob("*")) == before


def test_equal_operations_are_tokens_by_what_one_costs(there: Path) -> None:
    limit = Limit(flops=1e10)
    for name in ("narrow", "wide"):
        recipe = load_recipe(f"{name}.toml")
        train = limit.applied(recipe, 400).train
        cost = count(recipe.model.config(400)).training_flops
        assert train.tokens is not None and train.tokens * cost <= 1e10 < (train.tokens + 1) * cost
        assert (train.steps, train.time) == (None, None)
    own = plan_comparison([Path("narrow.toml")], limit=Limit()).runs()[1]
    assert own.recipe.train.steps == 20 and own.recipe.train.seed == 1
    with pytest.raises(RecipeError, match="given together"):
        plan_comparison([Path("narrow.toml")], limit=Limit(flops=1e10, steps=3))


def test_the_shipped_recipes_can_be_compared_and_are_alike_in_size() -> None:
    plan = plan_comparison(sorted((Path(__file__).parents[2] / "recipes" / "compare").glob("*.toml")), limit=Limit(time="2m"))
    assert list(plan.recipes) == ["gpt2", "lstm", "qwen3"]
    for name, recipe in plan.recipes.items():
        assert recipe.model.architecture == name
        assert 6.5e6 < count(recipe.model.config(recipe.tokenizer.vocabulary_size)).parameters < 7.5e6
