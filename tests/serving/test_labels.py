"""What a model with labels says of texts: vLLM's route for classes, and OpenAI's for moderation by its own client."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

import textmill
from textmill.formats.model_folder import save_model_folder
from textmill.inference.classify import classify
from textmill.models.heads import TaskModel
from textmill.models.task import Task, TaskConfig
from textmill.serving.errors import ApiError
from textmill.serving.labelling import classified
from textmill.serving.labels import classification, moderates, moderation, refuse_moderation
from textmill.serving.reading_schema import ClassifyBody
from textmill.serving.served import Served
from textmill.tokens.tokenizer import Tokenizer

TEXTS = ["a class", "You are a fool, and worse: a bore.", "An import statement is executed in two steps. " * 5, "x"]


def expected(folders: dict[str, Path], name: str) -> list[dict[str, float]]:
    folder = textmill.load(folders[name])
    assert folder.task is not None
    return classify(folder.task, folder.tokenizer, TEXTS)


@pytest.mark.parametrize("name, labels", [("moderator", ["insult", "threat", "neutral"]), ("sorter", ["OK", "spam"])])
def test_classes_are_those_of_the_model(address: str, folders: dict[str, Path], name: str, labels: list[str]) -> None:
    answer = requests.post(f"{address}/v1/classify", json={"model": name, "input": TEXTS, "colour": 1}, timeout=60)
    assert answer.headers["X-Ignored-Params"] == "colour"
    body = answer.json()
    assert body["object"] == "list" and body["model"] == name
    assert [one["index"] for one in body["data"]] == [0, 1, 2, 3]
    for one, scores in zip(body["data"], expected(folders, name), strict=True):
        assert one["scores"] == pytest.approx(scores, abs=1e-5) and list(one["scores"]) == labels
        assert one["probs"] == list(one["scores"].values()) and one["num_classes"] == len(labels)
        assert one["label"] == max(scores, key=lambda label: scores[label])
        assert one["labels"] == [label for label in labels if scores[label] >= 0.5]
        assert name == "moderator" or sum(one["probs"]) == pytest.approx(1)
    tokenizer = textmill.load(folders[name]).tokenizer
    read = sum(len(tokenizer.encode_whole(text)) for text in TEXTS)
    assert body["usage"] == {"prompt_tokens": read, "total_tokens": read, "completion_tokens": 0}
    for alone in (TEXTS[1], tokenizer.encode_whole(TEXTS[1])):
        [one] = requests.post(f"{address}/v1/classify", json={"model": name, "input": alone}, timeout=60).json()["data"]
        assert one["scores"] == pytest.approx(body["data"][1]["scores"], abs=1e-5)


def test_moderation_where_labels_stand_for_themselves(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    answer = client.moderations.create(model="moderator", input=TEXTS)
    assert answer.model == "moderator" and len(answer.results) == len(TEXTS)
    for result, scores in zip(answer.results, expected(folders, "moderator"), strict=True):
        del scores["neutral"]
        assert result.category_scores.to_dict() == pytest.approx(scores, abs=1e-5)
        held = {label: score >= 0.5 for label, score in scores.items()}
        assert result.categories.to_dict() == held and result.flagged == any(held.values())
    parts: Any = [{"type": "text", "text": "a"}, {"type": "text", "text": "class"}]
    assert len(client.moderations.create(model="moderator", input=parts).results) == 1


def test_moderation_where_one_label_is_chosen(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    answer = client.moderations.create(model="sorter", input=TEXTS)
    for result, scores in zip(answer.results, expected(folders, "sorter"), strict=True):
        assert result.flagged == (scores["spam"] > scores["OK"])
        assert result.categories.to_dict() == {"spam": result.flagged}
        assert result.category_scores.to_dict() == pytest.approx({"spam": scores["spam"]}, abs=1e-5)


def test_what_cannot_be_labelled_is_told(client: openai.OpenAI, address: str) -> None:
    for name, path in [("talker", "moderations"), ("encoder", "moderations"), ("lstm", "classify")]:
        answer = requests.post(f"{address}/v1/{path}", json={"model": name, "input": "a"}, timeout=60)
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["code"] == "model_not_supported" and error["param"] == "model"
        assert f"doesn't serve /v1/{path}; it serves /v1/" in error["message"] and error["message"].startswith(name)
    with pytest.raises(openai.BadRequestError, match="name one of moderator, sorter"):
        client.moderations.create(input="a")
    with pytest.raises(openai.BadRequestError, match="it serves /v1/classify and /v1/moderations"):
        client.completions.create(model="sorter", prompt="a")
    with pytest.raises(openai.BadRequestError, match=r"input\.1 is \d+ tokens long, and the model's context is 256"):
        client.moderations.create(model="moderator", input=["short", "a class statement " * 500])
    asked = {"model": "sorter", "input": "a", "truncate_prompt_tokens": 5}
    error = requests.post(f"{address}/v1/classify", json=asked, timeout=60).json()["error"]
    assert error["param"] == "truncate_prompt_tokens" and error["code"] == "unsupported_parameter"


def test_a_batch_file_asks_for_labels_too(textmill, folders: dict[str, Path], tmp_path: Path) -> None:
    lines = [
        {"custom_id": url, "method": "POST", "url": url, "body": {"model": "moderator", "input": "a class"}}
        for url in ("/v1/classify", "/v1/moderations")
    ]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert textmill("batch", folders["moderator"], tmp_path / "in.jsonl", tmp_path / "out.jsonl").code == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    bodies = {one["custom_id"]: one["response"]["body"] for one in found}
    scores = bodies["/v1/classify"]["data"][0]["scores"]
    assert bodies["/v1/moderations"]["results"][0]["category_scores"] == pytest.approx(
        {label: scores[label] for label in ("insult", "threat")}
    )


def test_what_flags_a_text() -> None:
    several, chosen = TaskConfig("multi_label", ("hate", "Neutral")), TaskConfig("sequence", ("hate", "safe", "spam"))
    [result] = moderation("m", several, [[0.49, 0.99]])["results"]
    assert not result["flagged"] and result["categories"] == {"hate": False}
    [result] = moderation("m", several, [[0.5, 0.99]])["results"]
    assert result["flagged"] and result["category_scores"] == {"hate": 0.5}
    [result] = moderation("m", chosen, [[0.3, 0.4, 0.3]])["results"]
    assert not result["flagged"]
    [result] = moderation("m", chosen, [[0.3, 0.29, 0.41]])["results"]
    assert result["flagged"] and result["categories"] == {"hate": False, "spam": True}
    assert moderates(several) and moderates(chosen)
    for task, told in [
        (TaskConfig("sequence", ("sport", "trade")), r"chooses one label \(sport, trade\)"),
        (TaskConfig("multi_label", ("ok", "safe")), "has only labels that flag nothing"),
        (TaskConfig("regression", ("stars",)), r"gives numbers \(stars\)"),
    ]:
        assert not moderates(task)
        with pytest.raises(ApiError, match=told):
            refuse_moderation("m", task)


def test_a_regression_has_numbers_and_no_label() -> None:
    [one] = classification("m", TaskConfig("regression", ("stars",)), [[4.2]], 3)["data"]
    assert one == {"index": 0, "label": None, "labels": [], "probs": [], "num_classes": 1, "scores": {"stars": 4.2}}


def test_more_scores_than_an_answer_may_hold_are_refused_unread(make_recurrent, tokenizer: Tokenizer, tmp_path: Path) -> None:
    body, config = (
        make_recurrent(vocabulary_size=tokenizer.vocabulary_size),
        TaskConfig("sequence", tuple(map(str, range(600)))),
    )
    save_model_folder(tmp_path / "many", body, tokenizer, {}, task=Task(config, TaskModel(body, config.head(body.config))))
    served = Served("many", textmill.load(tmp_path / "many"), 0)
    try:
        with pytest.raises(ApiError, match="texts times labels are at most 1,000,000, found 1,200,000"):
            asyncio.run(classified(served, ClassifyBody(model="many", input=["a"] * 2000)))
    finally:
        served.close()
