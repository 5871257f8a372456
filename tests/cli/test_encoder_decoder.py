"""An encoder–decoder's whole life by the real commands: run, fill, generate, evaluate, inspect, report."""

import json
import re
from pathlib import Path

import pytest
import transformers

from textmill.files import read_json

RECIPE = """
[corpus]
source = "text.jsonl"
validation_fraction = 0.2
[tokenizer]
vocabulary_size = 400
[model]
architecture = "marian"
layers = 1
width = 32
head_dim = 16
context_length = 64
[train]
steps = 16
batch_size = 8
warmup_steps = 3
validations = 2
threads = 1
dtype = "float32"
attention = "fused"
micro_batch = 8
compile = "off"
[evaluate]
maximum_bytes = 5000
bootstrap_samples = 100
prompts = ["The <|mask|> statement", "Return", ""]
"""


@pytest.fixture
def place(tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = [json.dumps({"id": str(n), "text": text[:1500]}) for n, text in enumerate(texts) if len(text) > 100]
    (tmp_path / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_whole_life(place: Path, textmill) -> None:
    result = textmill("run", "tiny.toml")
    assert result.code == 0, result.out + result.err
    assert re.search(r"step 16: \d\.\d+ bits per span token on held-out text", result.out)
    assert re.search(r"textmill fill \S+ 'The history of the <\|mask\|> is long\.'", result.out)
    run = place / "runs" / "tiny"
    evaluation = read_json(run / "evaluation.json")
    assert [system["name"] for system in evaluation["systems"]] == ["textmill", "word before", "frequent word"]
    first, second, third = (sample["text"] for sample in evaluation["samples"])
    assert first.startswith("The") and first.endswith("] statement") and second.startswith("Return") and "[" in third
    stock = transformers.AutoModelForSeq2SeqLM.from_pretrained(run / "model")
    assert type(stock).__name__ == "MarianMTModel"
    assert stock.generation_config.decoder_start_token_id == stock.config.pad_token_id

    assert textmill("fill", run, "The <|mask|> of it").out.startswith("The")
    assert textmill("generate", run, "The class", "--max-tokens", 5).code == 0
    assert textmill("generate", run, "The class", "--max-tokens", 5, "--beams", 3).code == 0
    assert "span_0" not in textmill("generate", run, "The <|span_0|>", "--max-tokens", 5).out
    assert "bits/word" in textmill("evaluate", run, place / "text.jsonl", "--maximum-bytes", 3000).out
    card = textmill("inspect", run / "model").out
    assert "an encoder-decoder of" in card and "1 + 1 of width 32" in card and "bits/masked word" in card
    assert "source ids" in textmill("inspect", run / "model", "--mermaid").out
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "bits per span token" in page and "learnt to fill in what is missing" in page and "补出文本中缺失的片段" in page
    refused = textmill("chat", run)
    assert refused.code == 2 and "textmill generate" in refused.err


def test_what_does_not_fit_the_family_is_told_before_anything_is_done(place: Path, textmill) -> None:
    changes = ["model.context_length=4096", "train.document_attention=true"]
    result = textmill("run", "tiny.toml", *(word for change in changes for word in ("--set", change)))
    assert result.code == 2 and "enough for 2,000 tokens" in result.err and "document_attention" in result.err
    assert not (place / "runs" / "tiny" / "corpus").exists()
