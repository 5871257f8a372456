"""An encoder's whole life by the real commands: trained, judged by hidden words, loaded by its stock class, put to use."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from textmill.comparison.outcome import read_outcome
from textmill.comparison.plan import Limit
from textmill.evaluation.document_scores import read_document_scores
from textmill.models.count import count
from textmill.progress import format_count
from textmill.recipe import load_recipe

RECIPE = """
[corpus]
source = "text.jsonl"
validation_fraction = 0.2
[tokenizer]
vocabulary_size = 400
[model]
architecture = "modernbert"
preset = "0.5m"
layers = 2
width = 32
head_dim = 16
context_length = 64
[train]
steps = 16
batch_size = 8
warmup_steps = 3
dropout = 0.1
averaging = 0.2
validations = 2
threads = 1
dtype = "float32"
attention = "fused"
micro_batch = 4
compile = "off"
sample_prompt = "Return "
[evaluate]
maximum_bytes = 5000
bootstrap_samples = 100
prompts = ["The <|mask|> of a class", ""]
"""
Command = Callable[..., object]


@pytest.fixture
def place(tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = [json.dumps({"id": str(n), "text": text[:2000]}) for n, text in enumerate(texts) if len(text) > 100]
    (tmp_path / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "life.toml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_whole_life(textmill: Command, place: Path, tiny_run: Path) -> None:
    run = place / "runs" / "life"
    result = textmill("run", "life.toml")
    assert result.code == 0, result.err
    assert "bits per masked token on held-out text" in result.out and "it guesses: Return [" in result.out
    assert f"textmill fill {run.relative_to(place) / 'model'}" in result.out

    evaluation = json.loads((run / "evaluation.json").read_text())
    assert [system["name"] for system in evaluation["systems"]] == ["textmill", "word before", "frequent word"]
    for system in evaluation["systems"]:  # each figure is the sum over its documents
        documents = read_document_scores(run)[system["name"]]
        accuracy = sum(score.right for score in documents) / sum(score.words for score in documents)
        assert system["accuracy"]["value"] == pytest.approx(accuracy) and system["accuracy"]["count"] == len(documents)
    assert evaluation["samples"][0]["text"].startswith("The [")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "bits per masked word" in page and "比特/被遮词" in page and "bits per byte" not in page

    model, report = transformers.AutoModelForMaskedLM.from_pretrained(run / "model", output_loading_info=True)
    assert type(model).__name__ == "ModernBertForMaskedLM" and not any(report.values())
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "model")
    with torch.no_grad():
        logits = model(**tokenizer("The<|mask|> of a class", return_tensors="pt")).logits[0, 2]
    filled = textmill("fill", run, "The <|mask|> of a class", "--top", 400)
    likeliest = logits.clone()
    likeliest[tokenizer.all_special_ids] = -torch.inf
    assert filled.out.splitlines()[0].split("%")[1].strip() == tokenizer.decode(likeliest.argmax()).strip()

    assert textmill("embed", run, "a class", "a function", "--out", place / "vectors.npy").code == 0
    assert np.load(place / "vectors.npy").shape == (2, 32)
    judged = textmill("evaluate", run, "text.jsonl", "--maximum-bytes", 4000, "--train-text", "text.jsonl")
    assert "accuracy" in judged.out and "word before" in judged.out and "xz" not in judged.out
    for words, problem in (
        (("generate", run, "a"), "an encoder doesn't write on; `textmill fill`"),
        (("chat", run), "an encoder doesn't write on"),
        (("evaluate", run, "text.jsonl", "--against", tiny_run), "compare each with its own kind"),
        (("embed", tiny_run, "a"), "a decoder gives no vectors of texts"),
    ):
        refused = textmill(*words)
        assert refused.code == 2 and problem in refused.err


@pytest.mark.parametrize("architecture", ["modernbert", "marian"])
def test_a_comparison_counts_operations_as_training_does(textmill: Command, place: Path, architecture: str) -> None:
    """Only hidden words pass through an encoder's head, and a text in part through each half of an encoder–decoder."""
    changes = [f"model.architecture={architecture}", "train.steps=2", "train.masking=0.3"]
    result = textmill("run", "life.toml", *(word for change in changes for word in ("--set", change)))
    assert result.code == 0, result.err
    [printed] = re.findall(r"([\d.]+ [kM])FLOP a token", result.out)
    recipe = load_recipe("life.toml", changes)
    tokens = Limit(flops=1e12).applied(recipe, 400).train.tokens
    assert tokens is not None and format_count(1e12 / tokens) == printed
    outcome = read_outcome("life", 0, place / "runs" / "life")
    assert format_count(outcome.flops / outcome.tokens) == printed
    assert format_count(count(recipe.model.config(400)).training_flops) != printed


def test_gone_on_with_it_ends_with_the_same_bits(textmill: Command, place: Path) -> None:
    """Half a run, prolonged from where its learning rate began to fall, is the whole of it."""
    for out, steps in (("grown", 8), ("grown", 16), ("whole", 16)):
        result = textmill("run", "life.toml", "--out", out, "--until", "model", "--set", f"train.steps={steps}")
        assert result.code == 0, result.err
    assert (place / "grown" / "model" / "model.safetensors").read_bytes() == (
        place / "whole" / "model" / "model.safetensors"
    ).read_bytes()
