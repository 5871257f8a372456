"""The loss by position is the model's own at each place, beyond the trained context as the same model with a longer one."""

import json
import math
from pathlib import Path

import pytest
import torch

from textmill.corpus.document import Document
from textmill.errors import CorpusError, ModelError
from textmill.evaluation.by_position import loss_by_position, widened
from textmill.formats.model_folder import ModelFolder


def documents(texts: list[str]) -> list[Document]:
    return [Document(text, str(number), "topics") for number, text in enumerate(texts[5:9])]


@pytest.mark.parametrize("family, beyond", [("decoder", 1.0), ("decoder", 2.0), ("recurrent", 3.0)])
def test_each_place_costs_what_the_model_says(
    make_decoder, make_recurrent, tokenizer, texts, tmp_path: Path, family: str, beyond: float
) -> None:
    model = make_decoder() if family == "decoder" else make_recurrent()
    found = loss_by_position(ModelFolder(tmp_path, model, tokenizer, {}), documents(texts), beyond)
    trained = model.config.context_length
    length = int(beyond * trained)
    assert [bucket.beyond for bucket in found] == [bucket.begin >= trained for bucket in found] and found[-1].end == length
    wide = make_decoder(context_length=length) if family == "decoder" else model
    total = count = 0.0
    last = found[-1]
    for document in documents(texts):
        tokens = tokenizer.encode(document.text)
        for first in range(0, len(tokens) - length + 1, length):
            stretch = torch.tensor([tokens[first : first + length]])
            inputs = torch.cat([torch.tensor([[tokenizer.document_start_id]]), stretch[:, :-1]], dim=1)
            total += float(wide.token_nats(inputs, stretch)[0, last.begin : last.end].sum())
            count += last.end - last.begin
    assert last.bits_per_token.value == pytest.approx(total / count / math.log(2), rel=1e-5)
    assert last.bits_per_token.low < last.bits_per_token.value < last.bits_per_token.high


def test_what_can_t_be_asked_is_told(make_decoder, make_encoder, tokenizer, texts, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="positions one by one"):
        widened(make_decoder(positions="learned"), 128, "it")
    with pytest.raises(ModelError, match="from left to right"):
        widened(make_encoder("bert"), 8, "it")
    folder = ModelFolder(tmp_path, make_decoder(), tokenizer, {})
    with pytest.raises(CorpusError, match="tokens in a row"):
        loss_by_position(folder, [Document("short", "1", "s")])


def test_the_command_shows_it_and_draws_it(textmill, tiny_run: Path, tmp_path: Path) -> None:
    words = ["evaluate", tiny_run, tiny_run.parents[1] / "text.jsonl", "--maximum-bytes", 20000, "--by-position"]
    result = textmill(*words, "--beyond", 2, "--picture", tmp_path / "positions.svg")
    assert result.code == 0, result.err
    assert "120–127 (beyond)" in result.out and "stretches of 128 tokens" in result.out
    assert (tmp_path / "positions.svg").read_text(encoding="utf-8").startswith("<svg")
    assert len(json.loads(textmill(*words, "--json").out)) == 8
    assert "add it" in textmill(*words[:-1], "--beyond", 2).err
