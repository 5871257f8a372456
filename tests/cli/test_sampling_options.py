"""`textmill generate` and `textmill chat` pick tokens as their options say, every one of them, and refuse what can't be."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textmill import load
from textmill.formats.model_folder import save_model_folder
from textmill.inference.generate import complete
from textmill.inference.sampling import Sampling
from textmill.models.decoder import Decoder
from textmill.tokens.tokenizer import Tokenizer

SAID: dict[str, Any] = {
    "temperature": 0.9,
    "top_k": 40,
    "top_p": 0.7,
    "min_p": 0.01,
    "typical_p": 0.8,
    "repetition_penalty": 1.2,
    "presence_penalty": 1.5,
    "frequency_penalty": -1.0,
    "seed": 3,
}


@pytest.fixture(scope="module")
def folder(make_decoder: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sampling") / "model"
    save_model_folder(path, make_decoder(vocabulary_size=tokenizer.vocabulary_size), tokenizer, {})
    return path


@pytest.mark.parametrize("verb", ["generate", "chat"])
def test_every_setting_of_sampling_is_heard(textmill, monkeypatch: pytest.MonkeyPatch, folder: Path, verb: str) -> None:
    """But for the bias of single tokens, by numbers that nobody would type."""
    assert {field.name for field in dataclasses.fields(Sampling)} - {"logit_bias"} == set(SAID)
    heard: list[Sampling] = []
    checked = Sampling.__post_init__
    monkeypatch.setattr(Sampling, "__post_init__", lambda self: (heard.append(self), checked(self))[1])
    words = [word for name, value in SAID.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert textmill(verb, folder, "--max-tokens", 1, *words, typed=b"").code == 0
    assert heard[0] == Sampling(**SAID)


def test_the_text_is_drawn_so(textmill, folder: Path) -> None:
    model, tokenizer = load(folder).model, load(folder).tokenizer
    penalised = complete(model, tokenizer, "The class", Sampling(frequency_penalty=2.0, typical_p=0.5), max_tokens=20)
    assert penalised != complete(model, tokenizer, "The class", Sampling(), max_tokens=20)
    words = ["--max-tokens", 20, "--frequency-penalty", 2, "--typical-p", 0.5]
    assert textmill("generate", folder, "The class", *words).out == f"The class{penalised}\n"
    assert textmill("chat", folder, *words, typed=b"The class\n").out == f"{penalised}\n"


@pytest.mark.parametrize("verb", ["generate", "chat"])
def test_all_that_cant_be_is_told_together(textmill, verb: str) -> None:
    wrong = ["--typical-p", 0, "--presence-penalty", 3, "--frequency-penalty", "nan"]
    result = textmill(verb, "nowhere", *wrong)
    assert result.code == 2 and "Traceback" not in result.err
    for words in ("typical_p must be above 0 and at most 1, found 0.0", "presence_penalty must be from -2 to 2, found 3.0"):
        assert words in result.err
    assert "frequency_penalty must be from -2 to 2, found nan" in result.err


def test_beams_draw_nothing(textmill) -> None:
    result = textmill("generate", "nowhere", "--beams", 2, "--top-k", 5, "--typical-p", 0.5, "--stop", "x")
    assert result.code == 2 and "leave out --top-k, --typical-p, --stop" in result.err
