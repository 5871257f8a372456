"""What a model that tags words says over HTTP and in a batch is what it says in Python."""

import asyncio
import json
from pathlib import Path

import pytest
import requests

import textmill
from textmill.formats.model_folder import save_model_folder
from textmill.inference.tag import Asked, TaggedWords, emissions_of
from textmill.models.heads import TaskModel
from textmill.models.task import Task, TaskConfig
from textmill.serving.errors import ApiError
from textmill.serving.reading_schema import TagBody
from textmill.serving.served import Served
from textmill.serving.tagging import tagged
from textmill.tokens.tokenizer import Tokenizer

TEXTS = ["Ada met a class.", "An import statement is executed in two steps. " * 40, "", "x"]


def expected(folder: Path, texts: list[str] | list[list[str]]) -> list[TaggedWords]:
    model = textmill.load(folder)
    assert model.task is not None
    asked = Asked(model.task, model.tokenizer, texts)
    return asked.tagged(emissions_of(asked))


@pytest.mark.parametrize(
    "given", [TEXTS, [["Ada", "met"], ["a", "class statement", *TEXTS[1].split()]]], ids=["texts", "words"]
)
def test_tags_are_those_of_the_model(address: str, folders: dict[str, Path], given: list[str]) -> None:
    """The second text is longer than the model's context."""
    answer = requests.post(f"{address}/v1/tag", json={"model": "tagger", "input": given}, timeout=60).json()
    assert [one["index"] for one in answer["data"]] == list(range(len(given)))
    found = expected(folders["tagger"], given)
    assert any(each.entities for each in found)
    for one, wanted in zip(answer["data"], found, strict=True):
        assert one["text"] == wanted.text
        assert [(word["word"], word["tag"]) for word in one["words"]] == list(zip(wanted.words, wanted.tags, strict=True))
        places = [(each["kind"], each["start"], each["end"]) for each in one["entities"]]
        assert places == [(each.kind, each.start, each.end) for each in wanted.entities]
        assert [each["text"] for each in one["entities"]] == [one["text"][start:end] for _, start, end in places]
        likely = [each["probability"] for each in one["entities"]]
        assert likely == pytest.approx([each.probability for each in wanted.entities], abs=1e-4)
    assert answer["usage"]["total_tokens"] > len(given)


def test_who_cannot_tag_says_so(address: str) -> None:
    for name, path in [("sorter", "tag"), ("talker", "tag"), ("tagger", "classify")]:
        answer = requests.post(f"{address}/v1/{path}", json={"model": name, "input": "a"}, timeout=60)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "model_not_supported"


def test_a_batch_file_asks_for_tags_too(textmill, folders: dict[str, Path], tmp_path: Path) -> None:
    line = {"custom_id": "1", "method": "POST", "url": "/v1/tag", "body": {"model": "tagger", "input": TEXTS[0]}}
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n")
    assert textmill("batch", folders["tagger"], tmp_path / "in.jsonl", tmp_path / "out.jsonl").code == 0
    (found,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    (wanted,) = expected(folders["tagger"], TEXTS[:1])
    assert [word["tag"] for word in found["response"]["body"]["data"][0]["words"]] == list(wanted.tags)


def test_more_scores_than_an_answer_may_take_are_refused_unread(make_encoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    body = make_encoder("bert", vocabulary_size=tokenizer.vocabulary_size)
    config = TaskConfig("token", tuple(map(str, range(600))))
    save_model_folder(tmp_path / "many", body, tokenizer, {}, task=Task(config, TaskModel(body, config.head(body.config))))
    served = Served("many", textmill.load(tmp_path / "many"), 0)
    try:
        with pytest.raises(ApiError, match="tokens times labels are at most 1,000,000, found"):
            asyncio.run(tagged(served, TagBody(model="many", input=["a b c d"] * 1000)))
    finally:
        served.close()
