"""Models of packed weights: every family computes what the rounded weights say, and keeps nothing of torch's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from textmill import load
from textmill.formats.model_folder import save_model_folder
from textmill.inference.generate import complete
from textmill.inference.sampling import Sampling
from textmill.native.packing import Format

GREEDY = Sampling(temperature=0.0)
NATIVE = {"width": 64, "heads": 4, "key_value_heads": 2, "head_dim": 16, "feed_forward_width": 128}


@pytest.fixture
def folder(make_decoder: Callable, tokenizer: Any, tmp_path: Path) -> Path:
    torch.manual_seed(3)
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, **NATIVE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    save_model_folder(tmp_path / "model", model, tokenizer, {})
    return tmp_path / "model"


def test_greedy_answers_by_the_kernels_are_those_by_torch(folder: Path) -> None:
    plain, packed = load(folder), load(folder, "float32")
    assert packed.model.packed is not None
    for prompt in ("The class", "a"):
        answers = [complete(each.model, each.tokenizer, prompt, GREEDY, max_tokens=40) for each in (plain, packed)]
        assert answers[0] == answers[1]


@pytest.mark.parametrize("format", ["int8", "int4"])
def test_generate_by_short_weights(folder: Path, format: Format) -> None:
    found = load(folder, format)
    assert complete(found.model, found.tokenizer, "The class", GREEDY, max_tokens=10)
    assert not [name for name, module in found.model.named_modules() if isinstance(module, nn.Linear)]
