"""A tagger learns a grammar that it can express to the last word, in every family, with a CRF and without; one that was stopped
goes on to the same bits."""

import random
from pathlib import Path

import pytest

from textmill.models.settings import ModelSettings
from textmill.tasks import Tag, Tagger
from textmill.tasks.settings import LearnSettings, TaskRecipe
from textmill.tokens.settings import TokenizerSettings

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
