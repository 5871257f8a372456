"""A tagger learns a grammar that it can express to the last word, in every family, with a CRF and without; one that was stopped
goes on to the same bits."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from textmill.errors import TaskError
from textmill.models.settings import ModelSettings
from textmill.tasks import Tag, Tagger
from textmill.tasks.dictionary import EntityDictionary
from textmill.tasks.settings import LearnSettings, TaskRecipe
from textmill.tasks.tagged import TaggedText
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tags import Entity

FIRST, LAST, PLACES = ("Ada", "Alan", "Grace", "Kurt"), ("Hill", "Stone", "Wood"), ("York", "Bath", "Ely")
VERBS = ("met", "saw", "left")


def sentence(drawn: random.Random) -> list[tuple[str, str]]:
    """A name is one word or two, `Sir` belongs to it; a place follows `in`, and may be called as a person is."""
    words = []
    for verb in (drawn.choice(VERBS), None):
        if drawn.random() < 0.3:
            words.append(("Sir", "B-person"))
            words.append((drawn.choice(FIRST), "I-person"))
        else:
            words.append((drawn.choice(FIRST), "B-person"))
        if drawn.random() < 0.5:
            words.append((drawn.choice(LAST), "I-person"))
        if verb is not None:
            words.append((verb, "O"))
    if drawn.random() < 0.7:
        words += [("in", "O"), (drawn.choice(PLACES + LAST), "B-place")]
    return words


def conll(count: int, seed: int) -> str:
    drawn = random.Random(seed)
    return "\n\n".join("\n".join(" ".join(word) for word in sentence(drawn)) for _ in range(count)) + "\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training and test sentences."""
    folder = tmp_path_factory.mktemp("grammar")
    train, test = folder / "train.conll", folder / "test.conll"
    train.write_text(conll(200, 0), encoding="utf-8")
    test.write_text(conll(30, 1), encoding="utf-8")
    return train, test


def small(architecture: str, **learn: object) -> TaskRecipe:
    return TaskRecipe(
        learn=LearnSettings(**{"epochs": 10, "batch_size": 16, "dropout": 0.0, **learn}),  # type: ignore[arg-type]
        tokenizer=TokenizerSettings(kind="word", vocabulary_size=64),
        model=ModelSettings(architecture=architecture, preset="0.5m", layers=1, width=32, context_length=32),
    )


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("architecture", ["bilstm", "lstm", "qwen3", "bert", "mbart"])
def test_every_family_learns_a_grammar(architecture: str, crf: bool, files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    Tag(small(architecture, crf=crf)).train(None, train, test, out=tmp_path / "run")
    model = Tagger.load(tmp_path / "run")
    for block in test.read_text(encoding="utf-8").strip().split("\n\n"):
        words, tags = zip(*(line.split() for line in block.split("\n")))
        assert model(words).tags == tags
    found = model("Sir Alan Wood met Grace in Hill")
    assert [(each.kind, each.text, each.start, each.end) for each in found.entities] == [
        ("person", "Sir Alan Wood", 0, 13),
        ("person", "Grace", 18, 23),
        ("place", "Hill", 27, 31),
    ]
    assert all(0.9 < each.probability <= 1 for each in found.entities)


def test_a_stopped_training_goes_on_to_the_same_bits(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Its checkpoints but the first are gone, as if it had been killed after that one; the stages that looked at them go on."""
    train, _ = files
    task = Tag(small("bilstm", crf=True, epochs=3, dropout=0.2))
    task.train(None, train, out=tmp_path / "whole")
    task.train(None, train, out=tmp_path / "stopped")
    checkpoints = sorted((tmp_path / "stopped" / "checkpoints").glob("*"), key=lambda path: path.name)
    assert len(checkpoints) > 1
    for checkpoint in checkpoints[1:]:
        shutil.rmtree(checkpoint)
    shutil.rmtree(tmp_path / "stopped" / "model")
    task.train(None, train, out=tmp_path / "stopped")
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_a_folder_without_a_crf_is_a_stock_classes(files: tuple[Path, Path], tmp_path: Path) -> None:
    """transformers reads it, and gives the same logits."""
    train, _ = files
    shape = ModelSettings(architecture="bert", preset="0.5m", layers=1, width=64, context_length=32)
    recipe = small("bert", epochs=1).model_copy(update={"model": shape})
    Tag(recipe).train(None, train, out=tmp_path / "run")
    folder = tmp_path / "run" / "model"
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    task = Tagger.load(folder).folder.task
    assert task is not None and tuple(theirs.config.id2label.values()) == task.config.labels
    inputs = torch.randint(0, 20, (2, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(task.model(inputs), theirs(inputs).logits)


def test_a_long_sentence_is_read_in_windows(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Every word has the tag that it would have in a shorter sentence."""
    train, _ = files
    model = Tag(small("bilstm")).train(None, train, out=tmp_path / "run")
    words = ["Sir", "Alan", "Wood", "met", "Grace", "in", "Hill"] * 20
    (found,) = model.predict([words], longest=24)
    assert len(found.tags) == len(words)
    inside = found.tags[7:-7]  # not where the text itself begins or ends
    assert inside == ("B-person", "I-person", "I-person", "O", "B-person", "O", "B-place") * 18


def test_scores_and_mistakes_are_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    Tag(small("lstm", epochs=1)).train(None, train, test, out=tmp_path / "run")
    told = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    names = [score["name"] for score in told["scores"]]
    assert names == ["F1", "precision", "recall", "accuracy", "F1 of person", "F1 of place"]
    assert all(score["signature"]["sentences"] == 30 for score in told["scores"])
    assert [score["name"] for score in told["baselines"]["dictionary of training entities"]][:3] == [
        "F1",
        "precision",
        "recall",
    ]
    assert told["mistakes"] == sorted(told["mistakes"], key=lambda mistake: -mistake["probability"])
    assert {"text", "file", "line", "label", "said", "probability"} == set(told["mistakes"][0])
    assert all(each["label"] != each["said"] and each["count"] > 0 for each in told["confusions"])


def test_the_dictionary_takes_the_longest_from_the_left() -> None:
    sentences = [
        TaggedText(("New", "York", "Times"), (Entity("paper", 0, 3),)),
        TaggedText(("New", "York"), (Entity("place", 0, 2),)),
        TaggedText(("York", "York", "York"), (Entity("name", 0, 1), Entity("place", 1, 2), Entity("place", 2, 3))),
    ]
    words = ["York", "New", "York", "Times", "New", "York", "New"]
    found = [Entity("place", 0, 1), Entity("paper", 1, 4), Entity("place", 4, 6)]
    assert EntityDictionary(sentences).entities(words) == found


@pytest.mark.parametrize(
    "learn",
    [
        {"crf": True, "class_weights": "balanced"},
        {"crf": True, "label_smoothing": 0.1},
        {"augment": 1, "augment_by": ("mask",), "augment_model": "x"},
    ],
)
def test_what_does_not_go_together_is_told_before_training(learn: dict, files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="leave"):
        Tag(small("lstm", **learn)).train(None, files[0], out=tmp_path / "run")


def test_the_command_line_tags(textmill, files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    settings = ["learn.epochs=1", "model.layers=1", "model.width=16", "tokenizer.vocabulary_size=64", "learn.crf=true"]
    told = textmill(
        "tune", "tag", train, "--test", test, "--out", tmp_path / "run", *(w for s in settings for w in ("--set", s))
    )
    assert told.code == 0 and "dictionary of training entities" in told.out
    found = textmill("predict", tmp_path / "run", "Sir Alan met Grace", "--json")
    line = json.loads(found.out)
    assert found.code == 0 and [word["word"] for word in line["words"]] == ["Sir", "Alan", "met", "Grace"]
    assert line["text"] == "Sir Alan met Grace" and isinstance(line["entities"], list)
    (tmp_path / "bad.conll").write_text("x O\ny Q\nz\n", encoding="utf-8")
    wrong = textmill("tune", "tag", tmp_path / "bad.conll", "--out", tmp_path / "bad")
    assert wrong.code == 2 and "line 2: 'Q' is no tag" in wrong.err and "line 3: 1 column" in wrong.err


def test_the_lines_of_the_docs_run(files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a pretrained base, with few sentences."""
    text = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    lines = text.split("## Tag")[1].split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.conll").write_text(conll(20, 0), encoding="utf-8")
    (tmp_path / "test.conll").write_text(conll(5, 1), encoding="utf-8")
    exec(lines, {})
    assert Tagger.load("runs/names")("Ada Lovelace lived in London .").words == (
        "Ada",
        "Lovelace",
        "lived",
        "in",
        "London",
        ".",
    )
