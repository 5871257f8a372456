"""What `bench/decode.py` is made of: our side answers over the pipe with the model's own logits, and its figures are right."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from textmill.formats.model_folder import save_model_folder
from textmill.native.library import NoKernels, library
from textmill.tokens.tokenizer import Tokenizer

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))

from decode_models import windows
from decode_pipe import PeerError, Worker
from decode_quality import Quality, logits_of
from decode_turns import Turns, batch, prefill, warm


@pytest.fixture
def folder(make_decoder: Callable, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    try:
        library()
    except NoKernels as error:
        pytest.skip(str(error))
    size = {"vocabulary_size": tokenizer.vocabulary_size, "width": 64, "heads": 2, "head_dim": 32, "feed_forward_width": 96}
    save_model_folder(tmp_path / "tiny", make_decoder(**size), tokenizer, {})
    return tmp_path / "tiny"


def test_our_side_is_the_model(folder: Path, tmp_path: Path) -> None:
    """Its logits are those of plain torch, and it takes its turns; what it can't do is told."""
    from textmill import load

    ids, turns = [5, 9, 17, 30, 2, 2, 8], Turns()
    with Worker(
        sys.executable, "decode_textmill.py", folder=str(folder), format="float32", threads=1, length=16, rows=3
    ) as ours:
        found = logits_of(ours, ids, tmp_path)
        with torch.no_grad():
            torch.testing.assert_close(found, load(folder).model(torch.tensor([ids]))[0], rtol=1e-4, atol=1e-4)
        prefill(turns, {"float32": ours}, ids)
        warm(turns, {"float32": ours}, ids, steps=2)
        batch(turns, {"float32": ours}, start=7, steps=2, rows=3)
        assert ours.ask("memory") > 1e6
        assert all(speeds["float32"]["median"] > 0 for speeds in turns.told().values()) and len(turns.told()) == 3
        with pytest.raises(PeerError, match="no place for token 16"):
            ours.ask("decode", steps=1, start=16)


def test_a_peer_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="can't be run"):
        Worker(tmp_path / "python", "decode_llama_cpp.py")
    with pytest.raises(PeerError, match="before it had answered"):
        Worker(sys.executable, "missing.py")


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    turns = Turns()
    for ours, theirs in ((10, 5), (30, 10), (8, 8)):
        turns.add("decode", "int8", ours, 1.0)
        turns.add("decode", "Q8_0", theirs, 1.0)
        turns.add("prefill", "int8", ours, 1.0)
        turns.add("prefill", "Q8_0", 1, 1.0)
        turns.add("prefill", "F32", theirs, 1.0)
        turns.add("batch16", "int8", ours, 1.0)
        turns.add("batch16", "Q8_0, apart", theirs, 1.0)
        turns.add("batch16", "Q8_0, unified", 2 * theirs, 1.0)
    found = turns.ratios()
    assert found["int8"] == 2 and found["fp32"] is None and found["int8_cold"] is None
    assert found["prefill"] == 2 and found["batch16"] == 1  # over its faster file, and its faster layout
    with pytest.raises(ValueError, match="took 0"):
        turns.add("decode", "int8", 1, 0.0)


def test_quality_is_bits_of_the_text_and_divergence_from_the_original() -> None:
    original = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [1.0, 1.0, 1.0]]).log()
    found, same = Quality(), Quality()
    found.add(torch.zeros(3, 3), original, [2, 0, 1], size=3)
    same.add(original + 7, original, [2, 0, 1], size=3)
    assert math.isclose(same.bits_per_byte, 2 / 3, rel_tol=1e-6) and abs(same.told()["divergence_nats"]) < 1e-6
    assert math.isclose(found.bits_per_byte, 2 * math.log2(3) / 3, rel_tol=1e-6)
    assert math.isclose(found.told()["divergence_nats"], math.log(3) - 1.5 * math.log(2), rel_tol=1e-5)


def test_windows_come_from_one_text_after_the_other() -> None:
    assert windows([[1, 2, 3, 4, 5], [6, 7], [8]], 2, 6) == [[1, 2], [6, 7], [3, 4]]
    with pytest.raises(ValueError, match="3 pieces of 2 tokens"):
        windows([[1, 2, 3, 4, 5], [6, 7], [8]], 2, 8)
