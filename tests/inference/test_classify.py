"""Labels of texts: together as alone, in every family, and as transformers' own pipeline gives them."""

from pathlib import Path

import pytest
import torch
import transformers

from textmill.errors import GenerationError
from textmill.formats.model_folder import save_model_folder
from textmill.inference.classify import classify
from textmill.models.heads import TaskModel
from textmill.models.task import Task, TaskConfig
from textmill.tokens.tokenizer import Tokenizer

TEXTS = ["a class", "An import statement is executed in two steps.", "x", "the class of a class"]


def task_of(kind: str, labels: tuple[str, ...], body) -> Task:
    config = TaskConfig(kind, labels)
    model = TaskModel(body, config.head(body.config)).eval()
    generator = torch.Generator().manual_seed(4)
    for parameter in model.head.parameters():
        parameter.data.normal_(0.0, 0.3, generator=generator)
    return Task(config, model)


@pytest.mark.parametrize("kind, labels", [("sequence", ("a", "b", "c")), ("multi_label", ("a", "b")), ("regression", ("n",))])
def test_together_as_alone_in_every_family(
    make_encoder, make_decoder, make_recurrent, make_encoder_decoder, tokenizer: Tokenizer, kind: str, labels: tuple[str, ...]
) -> None:
    for body in (
        make_encoder("bert"),
        make_encoder("modernbert"),
        make_decoder(),
        make_recurrent(),
        make_encoder_decoder("marian"),
    ):
        task = task_of(kind, labels, body)
        found = classify(task, tokenizer, TEXTS)
        for text, scores in zip(TEXTS, found, strict=True):
            [alone] = classify(task, tokenizer, [text])
            assert scores == pytest.approx(alone, abs=1e-5) and tuple(scores) == labels
            assert kind != "sequence" or sum(scores.values()) == pytest.approx(1)
            assert kind == "regression" or all(0 <= score <= 1 for score in scores.values())


def test_the_pipeline_of_transformers_gives_the_same(make_encoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for kind, labels in (("sequence", ("a", "b", "c")), ("multi_label", ("a", "b", "c"))):
        task = task_of(kind, labels, make_encoder("bert", vocabulary_size=tokenizer.vocabulary_size))
        save_model_folder(tmp_path / kind, task.model.body, tokenizer, {}, task=task)
        pipeline = transformers.pipeline("text-classification", model=str(tmp_path / kind), top_k=None, device="cpu")
        for ours, theirs in zip(classify(task, tokenizer, TEXTS), pipeline(TEXTS), strict=True):
            assert ours == pytest.approx({one["label"]: one["score"] for one in theirs}, abs=1e-4)


def test_heads_for_tokens_and_long_texts_are_refused(make_encoder, tokenizer: Tokenizer) -> None:
    with pytest.raises(GenerationError, match="head is of the kind token, which labels no whole texts"):
        classify(task_of("token", ("O", "B"), make_encoder("bert")), tokenizer, TEXTS)
    with pytest.raises(GenerationError, match=r"text 2 is \d+ tokens long, and the model's context is 64"):
        classify(task_of("sequence", ("a", "b"), make_encoder("bert")), tokenizer, ["short", "a class statement " * 200])
