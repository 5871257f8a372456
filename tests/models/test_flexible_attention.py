"""A mask that is a rule hides what the table hides. Forward alone: torch has no gradient of it on a CPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from textmill.models.attention import FLEXIBLE
from textmill.models.decoder import Decoder

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
DIALECTS: dict[str, dict[str, Any]] = {
    "one for all heads": {},
    "grouped": {"heads": 4, "key_value_heads": 2},
    "windows": {"windows": (0, 7, 7)},
    "alibi": {"positions": "alibi"},  # which has a table of its own, and keeps it
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
@torch.no_grad()
def test_it_is_the_fused_one(make_decoder: Callable[..., Decoder], dialect: str, packed: bool) -> None:
    model = make_decoder(**DIALECTS[dialect]).train()
    tokens = torch.randint(512, (2, 48), generator=torch.Generator().manual_seed(0))
    segments = torch.tensor([[0] * 20 + [1] * 28, [0] * 3 + [1] * 30 + [2] * 15]) if packed else None
    fused = model.hidden(tokens, segments=segments)
    model.set_attention_kernel(FLEXIBLE)
    torch.testing.assert_close(model.hidden(tokens, segments=segments), fused, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_only_training_takes_it(make_decoder: Callable[..., Decoder], monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_decoder(windows=(0, 7, 7))
    model.set_attention_kernel(FLEXIBLE)
    made: list[int] = []
    monkeypatch.setattr("textmill.models.stack.flexible_mask", lambda length, *_: made.append(length))
    model.eval().hidden(torch.zeros(1, 16, dtype=torch.int64))
    assert not made
    model.train().hidden(torch.zeros(1, 16, dtype=torch.int64))
    assert made == [16]
