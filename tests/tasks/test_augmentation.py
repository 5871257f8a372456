"""Copies of training texts are functions of the seed, never one of the texts that a model is judged by, and a stopped training
goes on with the same ones."""

import dataclasses
from pathlib import Path

import pytest

from textmill.errors import RecipeError, TaskError
from textmill.evaluation.words import words_of
from textmill.formats.model_folder import save_model_folder
from textmill.recipe import settings_of
from textmill.tasks.augmentation import augmented, edited_tagging, words_outside
from textmill.tasks.examples import DataReport, Split
from textmill.tasks.labelled import LabelledText
from textmill.tasks.settings import LearnSettings, TaskRecipe
from textmill.tasks.tagged import TaggedText
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import MASK, PAD
from textmill.tokens.tags import Entity
from textmill.tokens.training import train_tokenizer

from .test_classify import sentences

LINES = [line.partition(" ") for line in sentences(60, 0)]
EXAMPLES = [LabelledText(text, (label,), "a.txt", number) for number, (label, _, text) in enumerate(LINES, start=1)]
SPLIT = Split(EXAMPLES[:40], EXAMPLES[40:50], EXAMPLES[50:], DataReport(()))


def test_nothing_is_edited_unless_asked_for() -> None:
    assert augmented(SPLIT, LearnSettings()) is SPLIT.training


def test_copies_are_functions_of_the_seed_and_keep_their_labels(capsys) -> None:
    learn = LearnSettings(augment=2, augment_share=0.3)
    found = augmented(SPLIT, learn)
    assert found[:40] == SPLIT.training and 60 < len(found) <= 120
    assert augmented(SPLIT, learn) == found
    assert augmented(SPLIT, learn.model_copy(update={"seed": 1})) != found
    labels = {(example.line, example.labels) for example in SPLIT.training}
    texts = {example.line: example.text for example in SPLIT.training}
    for copy in found[40:]:
        assert (copy.line, copy.labels) in labels and copy.text != texts[copy.line]
    assert f"{len(found) - 40} edited copies of 40 training texts" in capsys.readouterr().out


def test_no_copy_is_a_text_that_is_judged_by(capsys) -> None:
    one, other = (LabelledText(text, ("x",), "a.txt", 1) for text in ("one two", "two one"))
    found = augmented(Split([one], [], [other], DataReport(())), LearnSettings(augment=3, augment_by=("swap",)))
    assert found == [one]
    assert "3 left out that stand in the validation or test texts" in capsys.readouterr().out
    short = dataclasses.replace(one, text="one")
    assert augmented(Split([short], [], [], DataReport(())), LearnSettings(augment=1, augment_by=("delete",))) == [short]
    assert "1 left out that came out as the text was" in capsys.readouterr().out


def test_masked_words_are_replaced_by_what_an_encoder_expects(tmp_path: Path, make_encoder) -> None:
    texts = [example.text for example in EXAMPLES]
    tokenizer = train_tokenizer(TokenizerSettings(kind="word", vocabulary_size=46), texts, special=(PAD, MASK))
    save_model_folder(tmp_path, make_encoder("modernbert", vocabulary_size=tokenizer.vocabulary_size), tokenizer, {})
    known = {word for text in texts for word in words_of(text)}
    learn = LearnSettings(augment=1, augment_by=("mask",), augment_model=str(tmp_path), augment_share=0.3)
    found = augmented(SPLIT, learn)
    assert augmented(SPLIT, learn) == found and len(found) > 60
    for copy in found[40:]:
        before, after = words_of(SPLIT.training[copy.line - 1].text), words_of(copy.text)
        changed = [new for old, new in zip(before, after, strict=True) if old != new]
        assert 1 <= len(changed) <= max(1, round(0.3 * len(before))) and set(changed) <= known


def test_what_guesses_no_masked_words_is_told(tmp_path: Path, make_encoder, tokenizer) -> None:
    save_model_folder(tmp_path, make_encoder("bert"), tokenizer, {})
    with pytest.raises(TaskError, match=r"augment_model = .* can't replace words: .*no mask among its tokens"):
        augmented(SPLIT, LearnSettings(augment=1, augment_by=("mask",), augment_model=str(tmp_path)))


def test_tags_stay_with_their_words() -> None:
    words = ("Ada", "Lovelace", "lived", "in", "London", "for", "many", "years", ".")
    example = TaggedText(words, (Entity("person", 0, 2), Entity("place", 4, 5)), "a.conll", 1)
    learn = LearnSettings(augment=40, augment_share=0.3)
    found = augmented(Split([example], [], [], DataReport(())), learn, edited_tagging, words_outside)
    assert len({copy.words for copy in found}) > 20
    for copy in found:
        told = [(entity.kind, copy.words[entity.begin : entity.end]) for entity in copy.entities]
        assert told == [("person", ("Ada", "Lovelace")), ("place", ("London",))]
        assert sum(word in ("Ada", "Lovelace", "London") for word in copy.words) == 3  # no name where it isn't tagged
        assert copy.words[-1] == "."


def test_masked_copies_want_a_model() -> None:
    with pytest.raises(RecipeError, match="augment_model go together"):
        settings_of(TaskRecipe, {"learn": {"augment": 1, "augment_by": ["mask"]}}, "--set")
