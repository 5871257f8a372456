"""Recipes: what is right is read, what is wrong is told all at once, with what was found and what to write instead."""

import contextlib
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from textmill.errors import RecipeError
from textmill.recipe import Recipe, check_recipe, describe_fields, load_recipe

RECIPES = sorted(Path(__file__).parents[1].glob("recipes/**/*.toml"))
SECTIONS = {name: field.annotation.model_fields for name, field in Recipe.model_fields.items()}  # type: ignore[union-attr]
SMALL = {"corpus": {"source": "a.txt"}, "train": {"steps": 1}}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_shipped_recipes_are_read_and_written_back_unchanged(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    (tmp_path / "again.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml") == recipe


def test_overrides(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[corpus]\nsource = "a.txt"\n[train]\nsteps = 1\n')
    recipe = load_recipe(path, ["train.steps=7", "corpus.source=my notes/x.txt", "train.time=5m", "model.layers=2"])
    assert (recipe.train.steps, recipe.corpus.source, recipe.train.time) == (7, "my notes/x.txt", "5m")
    assert recipe.model.layers == 2


@given(st.sampled_from([(section, key) for section, fields in SECTIONS.items() for key in fields]), st.data())
def test_any_typo_is_named_with_the_nearest_key(place: tuple[str, str], data: st.DataObject) -> None:
    section, key = place
    position = data.draw(st.integers(0, len(key) - 1))
    typo = key[:position] + data.draw(st.sampled_from("xqz")) + key[position + data.draw(st.integers(0, 1)) :]
    if typo in SECTIONS[section]:
        return
    values = {**SMALL, section: {**SMALL.get(section, {}), typo: 1}}
    with pytest.raises(RecipeError) as error:
        check_recipe(values, "recipe.toml")
    (problem,) = [problem for problem in error.value.problems if typo in problem]
    assert f"unknown key {section}.{typo}" in problem
    assert "did you mean" in problem or len(key) < 5


def test_all_mistakes_are_told_together() -> None:
    values = {
        "corpus": {"source": "a.txt", "validation_fraction": 2.0, "encoding": "utf-9"},
        "modle": {},
        "train": {"time": "5 minutes", "batch_size": 0, "optimiser": "muon"},
    }
    with pytest.raises(RecipeError) as error:
        check_recipe(values, "recipe.toml")
    text = str(error.value)
    for part in (
        "corpus.validation_fraction", "found 2.0", "corpus.encoding", "'utf-9'", "unknown section modle",
        "did you mean 'model'", "train.time", "90s, 5m, 2h", "train.batch_size", "found 0", "train.optimiser",
        "did you mean 'optimizer'",
    ):  # fmt: skip
        assert part in text, part
    assert len(error.value.problems) == 6


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"train": {}}, "at least one of time"),
        ({"train": {"time": 30}}, "train.time: write a number above 0 and a unit: 90s, 5m, 2h or 1d; found 30"),
        ({"train": {"steps": 1, "batch_size": 6, "micro_batch": 4}}, "micro_batch (4) must divide batch_size (6)"),
        ({"model": {"preset": "30"}}, "did you mean '30m'"),
        ({"model": {"heads": 3, "key_value_heads": 2}}, "multiple of key_value_heads"),
        ({"tokenizer": {"vocabulary_size": 100}}, "tokenizer"),
        ({"tokenizer": {"kind": "bpee"}}, "found 'bpee'"),
    ],
)
def test_values_that_do_not_fit(changes: dict, expected: str) -> None:
    with pytest.raises(Exception) as error:
        check_recipe({**SMALL, **changes}, "recipe.toml")
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "override, expected",
    [("train.steps", "write section.key=value"), ("steps=3", "write section.key=value"), ("train.stepz=3", "'steps'")],
)
def test_wrong_overrides(tmp_path: Path, override: str, expected: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[corpus]\nsource = "a.txt"\n[train]\nsteps = 1\n')
    with pytest.raises(RecipeError, match=expected):
        load_recipe(path, [override])


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "wikipedia.toml").write_text("[corpus\n")
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    (tmp_path / "my note.md").write_text("Today I planted tomatoes.\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").touch()
    for name, expected in [
        ("wikipedia.toml", "not valid TOML"),
        ("wikipedai.toml", "did you mean 'wikipedia.toml'"),
        ("latin.toml", "not UTF-8 text: byte 0xe9 at 5"),
        ("zzz", "such as recipes/wikipedia-sample.toml"),
        ("my note.md", "not valid TOML: Expected '=' after a key"),
        ("my note.md", "--set 'corpus.source="),
        (".", "is a folder; give a recipe, a .toml file, and text to learn from by --set corpus.source="),
        ("run", "is a folder, of a run; give"),
    ]:
        with pytest.raises(RecipeError) as error:
            load_recipe(tmp_path / name)
        assert expected in str(error.value)


def test_every_field_is_documented() -> None:
    described = list(describe_fields())
    assert {key for key, *_ in described} == {f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys}
    assert all(len(meaning) > 20 for *_, meaning in described)
    kinds = {key: kind for key, kind, *_ in described}
    assert kinds["train.batch_size"] == "whole number, 1 or more"
    assert kinds["train.micro_batch"] == 'whole number, 1 or more or "auto"'
    assert kinds["corpus.validation_fraction"] == "number, above 0, below 1"


@given(st.sampled_from(sorted(SECTIONS)), st.data())
def test_any_typo_of_a_section_is_named_with_the_nearest(section: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(section) - 1))
    typo = section[:position] + data.draw(st.sampled_from("xqz")) + section[position + data.draw(st.integers(0, 1)) :]
    assume(typo != section)
    with pytest.raises(RecipeError) as error:
        check_recipe({**SMALL, typo: {}}, "recipe.toml")
    (problem,) = error.value.problems
    assert f"unknown section {typo}, did you mean {section!r}?" in problem


def test_a_wrong_type_of_every_key_is_named_and_all_come_together() -> None:
    values = {section: {key: {"no": object} for key in keys} for section, keys in SECTIONS.items()}
    with pytest.raises(RecipeError) as error:
        check_recipe(values, "recipe.toml")
    for section, keys in SECTIONS.items():
        for key in keys:
            assert any(f"{section}.{key}" in problem for problem in error.value.problems), f"{section}.{key}"


KEYS = [(section, key) for section, keys in SECTIONS.items() for key in keys]
values_of_a_user = st.one_of(
    st.integers(-2, 1000), st.sampled_from([2**31, 2**63, 10**30]), st.floats(), st.booleans(), st.text(max_size=8),
    st.sampled_from(["auto", "5m", "on", "bpe", "30m", "cosine", "adamw", "float32", "both", "fused"]),
    st.lists(st.text(max_size=3), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([(s, key) for s, keys in SECTIONS.items() for key in keys]), values_of_a_user, max_size=4)
)
def test_any_values_are_refused_by_name_or_written_and_read_back(changes: dict[tuple[str, str], object]) -> None:
    values: dict[str, dict] = {section: dict(SMALL.get(section, {})) for section in SECTIONS}
    for (section, key), value in changes.items():
        values[section][key] = value
    try:
        recipe = check_recipe(values, "recipe.toml")
    except RecipeError as error:
        assert all(any(section in problem for section in SECTIONS) for problem in error.problems)
    else:
        assert Recipe.model_validate(tomllib.loads(recipe.to_toml())) == recipe


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12), st.sampled_from(["", "train.", "train.steps=", "corpus.source=", "model=", "train.steps.x="]))
def test_no_override_gives_a_stack_trace(text: str, begin: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.toml"
        path.write_text('[corpus]\nsource = "a.txt"\n[train]\nsteps = 1\n')
        with contextlib.suppress(RecipeError):
            load_recipe(path, [begin + text])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_no_file_gives_a_stack_trace(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "r.toml").write_bytes(content)
        with pytest.raises(RecipeError):
            load_recipe(Path(folder) / "r.toml")


def test_what_a_family_has_not_is_refused_all_together() -> None:
    streams = {"batch_schedule": [[0.5, 4]], "context_schedule": [[0.5, 128]], "document_attention": True, "compile": "on"}
    with pytest.raises(RecipeError) as error:
        check_recipe({"corpus": {"source": "a"}, "model": {"architecture": "lstm"}, "train": {"steps": 1, **streams}}, "r.toml")
    assert [problem.split(": ")[1] for problem in error.value.problems] == [
        "train.batch_schedule", "train.context_schedule", "train.compile", "train.document_attention",
    ]  # fmt: skip
    with pytest.raises(RecipeError, match=r"model.heads: gru has no such part"):
        check_recipe({"corpus": {"source": "a"}, "model": {"architecture": "gru", "heads": 4}, "train": {"steps": 1}}, "r.toml")
    for architecture in ("gpt2", "lstm"):
        values = {"corpus": {"source": "a"}, "model": {"architecture": architecture}, "train": {"steps": 1, "masking": 0.2}}
        with pytest.raises(RecipeError, match=r"train.masking: only encoders"):
            check_recipe(values, "r.toml")
    with pytest.raises(RecipeError, match=r"train.weight_dropout: only lstm, gru and rnn") as error:
        check_recipe({"corpus": {"source": "a"}, "train": {"steps": 1, "weight_dropout": 0.1, "plan": "streams"}}, "r.toml")
    assert len(error.value.problems) == 2
    shuffled = {"steps": 1, "plan": "blocks", "batch_schedule": [[0.5, 4]], "context_schedule": [[0.5, 128]]}
    check_recipe({"corpus": {"source": "a"}, "model": {"architecture": "lstm"}, "train": shuffled}, "r.toml")


def test_attention_for_masks_is_for_recipes_that_have_some() -> None:
    def checked(train: dict, model: dict) -> None:
        check_recipe(
            {"corpus": {"source": "a"}, "train": {"steps": 1, "attention": "flexible", **train}, "model": model}, "r.toml"
        )

    with pytest.raises(RecipeError, match=r"train.attention: flexible is for document_attention and for windows"):
        checked({}, {})
    checked({"document_attention": True}, {})
    checked({}, {"sliding_window": 64})
    checked({}, {"architecture": "modernbert"})


def test_what_is_left_open_of_the_size_is_chosen_by_the_time(tmp_path: Path) -> None:
    def sizes(time: dict, **model: object) -> tuple:
        recipe = check_recipe({"corpus": {"source": "a"}, "model": model, "train": time}, "recipe.toml")
        (tmp_path / "again.toml").write_text(recipe.to_toml())
        longer = load_recipe(tmp_path / "again.toml", ["train.time=9h"])  # as a run folder's own recipe is prolonged
        assert (longer.model, longer.evaluate) == (recipe.model, recipe.evaluate)
        return recipe.model.preset, recipe.model.context_length, recipe.evaluate.maximum_bytes

    assert sizes({"time": "10s"}) == ("0.5m", 64, 64_000)
    assert sizes({"time": "60s"}, context_length=128) == ("0.5m", 128, 240_000)
    assert sizes({"time": "5m"}) == ("3m", 256, 1_200_000)
    assert sizes({"steps": 9}) == sizes({"time": "1h"}) == ("3m", 256, 2_000_000)
    assert sizes({"time": "10s"}, preset="3m") == ("3m", 64, 64_000)
