"""A classifier learns what can be learnt, in every family, from scratch and on a base; a stopped one goes on to the same
bits."""

import random
from pathlib import Path

import pytest

from textmill.models.settings import ModelSettings
from textmill.tasks import Classifier, Classify
from textmill.tasks.settings import LearnSettings, TaskRecipe
from textmill.tokens.settings import TokenizerSettings

ANIMALS, TOOLS = ("cat", "dog", "owl", "fox"), ("saw", "axe", "file", "drill")
ENDS = ("now", "again", "there", "here", "at last", "in the house", "as ever", "for once")
FRAMES = ("the {} is here", "I saw a {} today", "where is my {} ?", "she has one {} and two {}s", "no {} at all")


def sentences(count: int, seed: int) -> list[str]:
    """`label text` lines: a text is of the animals or of the tools that it names."""
    drawn = random.Random(seed)
    lines = []
    for number in range(count):
        label, words = ("animal", ANIMALS) if number % 2 else ("tool", TOOLS)
        frame, word = drawn.choice(FRAMES), drawn.choice(words)
        lines.append(f"{label} {frame.replace('{}', word)} {drawn.choice(ENDS)}")
    return lines


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Training and test examples."""
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text("\n".join(sentences(400, 0)), encoding="utf-8")
    test.write_text("\n".join(sentences(40, 1)), encoding="utf-8")
    return train, test


def small(architecture: str, **learn: object) -> TaskRecipe:
    return TaskRecipe(
        learn=LearnSettings(**{"epochs": 10, "batch_size": 16, "dropout": 0.0, **learn}),  # type: ignore[arg-type]
        tokenizer=TokenizerSettings(kind="word", vocabulary_size=64),
        model=ModelSettings(architecture=architecture, preset="0.5m", layers=1, width=32, context_length=32),
    )


@pytest.mark.parametrize("architecture", ["lstm", "qwen3", "bert", "marian"])
def test_every_family_learns_a_rule_from_scratch(architecture: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    model = Classify(small(architecture)).train(None, train, test, out=tmp_path / "run")
    texts = [line.partition(" ") for line in test.read_text(encoding="utf-8").splitlines()]
    assert [found.label for found in model.predict([text for _, _, text in texts])] == [label for label, _, _ in texts]
    assert Classifier.load(tmp_path / "run")("I saw a dog today again").label == "animal"
