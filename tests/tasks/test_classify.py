"""A classifier learns what can be learnt, in every family, from scratch and on a base; a stopped one goes on to the same
bits."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import requests
import torch
import transformers

from textmill.errors import TaskError
from textmill.models.settings import ModelSettings
from textmill.tasks import Classifier, Classify
from textmill.tasks.labelled import Reading
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


@pytest.mark.parametrize("architecture", ["cnn", "lstm", "qwen3", "bert", "marian"])
def test_every_family_learns_a_rule_from_scratch(architecture: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    model = Classify(small(architecture)).train(None, train, test, out=tmp_path / "run")
    texts = [line.partition(" ") for line in test.read_text(encoding="utf-8").splitlines()]
    assert [found.label for found in model.predict([text for _, _, text in texts])] == [label for label, _, _ in texts]
    assert Classifier.load(tmp_path / "run")("I saw a dog today again").label == "animal"


def scores_of(folder: Path) -> dict[str, float]:
    told = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return {score["name"]: score["value"] for score in told["scores"]}


def test_a_text_may_have_several_labels_or_none(tmp_path: Path) -> None:
    drawn = random.Random(0)

    def rows(count: int) -> str:
        lines = ["text,labels"]
        for number in range(count):
            animal = drawn.choice(ANIMALS) if number % 2 else "man"
            tool = drawn.choice(TOOLS) if number % 3 else "thing"
            labels = [*(["animal"] if number % 2 else []), *(["tool"] if number % 3 else [])]
            lines.append(f"a {animal} with a {tool} {drawn.choice(ENDS)},{';'.join(labels)}")
        return "\n".join(lines)

    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text(rows(400), encoding="utf-8")
    test.write_text(rows(60), encoding="utf-8")
    model = Classify(small("lstm"), Reading(separator=";")).train(None, train, test, out=tmp_path / "run")
    assert set(model("a dog with a saw here").labels) == {"animal", "tool"}
    assert model("a man with a thing here").labels == () and model("a man with a thing here").label is None
    assert len(model.task.config.thresholds) == 2
    found = scores_of(tmp_path / "run")
    assert found["micro F1"] == found["macro F1"] == found["subset accuracy"] == 1


def test_texts_that_fit_no_label_get_none(files: tuple[Path, Path], tmp_path: Path) -> None:
    drawn = random.Random(2)
    train, test = files
    odd = [
        f"odd the {drawn.choice(('moon', 'sun', 'sea', 'wind'))} of {drawn.choice(ENDS)} and {drawn.choice(ENDS)}"
        for _ in range(60)
    ]
    train.write_text("\n".join([*sentences(400, 0), *odd[:40]]), encoding="utf-8")
    test.write_text("\n".join([*sentences(40, 1), *odd[40:]]), encoding="utf-8")
    task = Classify(small("lstm"), Reading(out_of_scope="odd"))
    split = task.read(train, test)
    assert "odd" not in {label for example in split.training for label in example.labels}
    model = task.learn(None, split, tmp_path / "run")
    found = scores_of(tmp_path / "run")
    assert found["accuracy in scope"] >= 0.8 and found["recall out of scope"] >= 0.5
    assert len(set(model.task.config.thresholds)) == 1 and 0 < model.task.config.thresholds[0] < 1
    assert Classifier.load(tmp_path / "run").task.config == model.task.config  # the folder knows it


def test_the_least_sure_get_none_where_a_share_is_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    task = Classify(small("lstm", epochs=2, reject=0.3, longest=8))
    split = task.read(*files)
    model = task.learn(None, split, tmp_path / "run")
    given = [found.label for found in model.predict([example.text for example in split.validation], 8)]
    assert 0.6 <= sum(label is not None for label in given) / len(given) <= 0.8
    with pytest.raises(TaskError, match=r"learn.reject is for texts of one label each"):
        Classify(small("lstm", reject=0.1), Reading(separator="|")).learn(None, split, tmp_path / "other")


def test_a_stopped_training_goes_on_to_the_same_bits(files: tuple[Path, Path], tmp_path: Path) -> None:
    task = Classify(small("lstm", epochs=4))
    task.train(None, *files, out=tmp_path / "whole")

    class Stop(Exception):
        pass

    split = task.read(*files)
    broken = small("lstm", epochs=4)
    shows = 0

    def stop(*_: object) -> str:
        nonlocal shows
        shows += 1
        if shows == 2:
            raise Stop
        return ""

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr("textmill.tasks.classify._shown", stop)
        Classify(broken).learn(None, split, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "model").exists()
    task.learn(None, split, tmp_path / "stopped")
    weights = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_the_folder_holds_a_page_of_errors_and_a_card_that_the_hub_reads(files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    lines = test.read_text(encoding="utf-8").splitlines()
    lines[0] = "animal I saw a drill <b>today</b> here" if lines[0].startswith("tool") else "tool my cat & <b>dog</b> here"
    test.write_text("\n".join(lines), encoding="utf-8")
    run, recipe = tmp_path / "run", small("bert", epochs=4)
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"width": 64})})  # of stock heads
    model = Classify(recipe).train(None, train, test, out=run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page and "<b>d" not in page  # the surest mistake, escaped
    assert "最有把握的错误" in page and "The surest mistakes" in page and "calibration error before" in page
    card = huggingface_hub.ModelCard.load(run / "model" / "README.md")
    assert card.data.pipeline_tag == "text-classification" and "NB-SVM" in card.text
    accuracy = next(result for result in card.data.eval_results if result.metric_name == "accuracy")
    assert accuracy.metric_value == pytest.approx(scores_of(run)["accuracy"], abs=1e-5)
    text = "I saw a dog today again"
    stock = transformers.AutoModelForSequenceClassification.from_pretrained(run / "model")
    inputs = transformers.AutoTokenizer.from_pretrained(run / "model")(text, return_tensors="pt")
    with torch.no_grad():
        likely = stock(**inputs).logits[0].softmax(-1).tolist()  # the temperature is in the weights
    told = dict(zip(stock.config.id2label.values(), likely, strict=True))
    assert told == pytest.approx(model(text).probabilities, abs=1e-4)


def test_a_learnt_folder_is_asked_on_the_command_line_and_served(
    files: tuple[Path, Path], tmp_path: Path, textmill: Callable[..., Any], starter: Any
) -> None:
    train, _ = files
    train.write_text(train.read_text(encoding="utf-8").replace("tool ", "safe "), encoding="utf-8")
    run, shape = tmp_path / "run", ["layers=1", "width=32"]
    made = textmill(
        "tune", "classify", train, "--out", run, "--set", "learn.epochs=6", *(w for s in shape for w in ("--set", f"model.{s}"))
    )
    assert (
        made.code == 0
        and "report.html" in made.out
        and "validation texts, for want of test texts" in made.out
        and "validation" in json.loads((run / "scores.json").read_text())["judged_by"]
    )
    texts = ["I saw a dog today again", "where is my axe ? here"]
    answers = [
        json.loads(line) for line in textmill("predict", run, "-", "--json", typed="\n".join(texts).encode()).out.splitlines()
    ]
    assert [answer["label"] for answer in answers] == ["animal", "safe"] and [answer["text"] for answer in answers] == texts
    refused = textmill("predict", run, "-", typed=b"a text\n\n")
    assert refused.code == 2 and "text 2 holds nothing" in refused.err
    assert textmill("predict", train.parent, "a").code == 2
    nothing = textmill("predict", run, "-", typed=b"")
    assert nothing.code == 2 and "no text was given" in nothing.err
    server = starter.leave(tmp_path, "serve", run, "--port", 0)
    try:
        address = server.first_line().split(" at ")[1].split("/v1")[0]
        told = requests.post(f"{address}/v1/classify", json={"model": "run", "input": texts}, timeout=60).json()["data"]
        assert [each["label"] for each in told] == ["animal", "safe"]
        for each, answer in zip(told, answers, strict=True):
            assert each["scores"] == pytest.approx(answer["probabilities"], abs=1e-5)
        flags = requests.post(f"{address}/v1/moderations", json={"model": "run", "input": texts}, timeout=60).json()["results"]
        assert [each["flagged"] for each in flags] == [True, False]
    finally:
        server.end()


def test_a_base_with_a_head_gets_a_new_one_and_that_is_said(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = files
    Classify(small("qwen3", epochs=1)).train(None, train, test, out=tmp_path / "first")
    other = tmp_path / "other.txt"
    other.write_text(train.read_text(encoding="utf-8").replace("animal ", "beast "), encoding="utf-8")
    capsys.readouterr()
    model = Classify(small("qwen3", epochs=1, learning_rate=1e-3)).train(tmp_path / "first", other, out=tmp_path / "second")
    assert "a sequence of 2 labels, gives way to a new one" in capsys.readouterr().out
    assert model.task.config.labels == ("beast", "tool")
