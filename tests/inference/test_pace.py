"""What is told of an answer's speed: its tokens, the weights that each reads, and the limit where that was measured."""

from collections.abc import Callable, Iterator

import pytest
import torch

from textmill.inference.generate import Piece
from textmill.inference.pace import Pace, bytes_per_token
from textmill.machine.profile import memory_key, remember
from textmill.models.count import count
from textmill.models.decoder import Decoder
from textmill.native.library import NoKernels, Pool
from textmill.native.matrices import PackedWeights, packed_matrices


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_STATE_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))


def pieces(*tokens: int) -> Iterator[Piece]:
    return (Piece("x", count) for count in tokens)


def test_speed_is_counted_from_the_first_piece_on(make_decoder: Callable[..., Decoder]) -> None:
    pace = Pace(make_decoder())
    assert pace.line() == ""
    assert [piece.tokens for piece in pace.watched(pieces(1))] == [1]
    assert pace.line() == "(1 token)"
    pace = Pace(make_decoder())
    list(pace.watched(pieces(2, 5)))
    assert pace.first is not None
    pace.first, pace.last = (2, 10.0), (5, 10.5)
    assert pace.tokens_per_second() == 6.0
    assert pace.line() == "(5 tokens, 6 tokens/s; `textmill doctor` measures what this machine's memory allows)"


def test_the_share_is_that_of_reading_the_weights_once_a_token(make_decoder: Callable[..., Decoder]) -> None:
    model = make_decoder()
    each = bytes_per_token(model)
    assert each == 4 * count(model.config).decoded_parameters
    remember(memory_key(torch.device("cpu")), 12.0 * each, noisy=False)
    pace = Pace(model)
    pace.first, pace.last = (2, 10.0), (5, 10.5)
    assert pace.line().startswith("(5 tokens, 6 tokens/s: 50% of what memory allows")


def test_packed_weights_count_as_they_lie_in_memory(make_decoder: Callable[..., Decoder]) -> None:
    model = make_decoder(width=64, vocabulary_size=512)
    plain = bytes_per_token(model)
    try:
        pool = Pool(1)
    except NoKernels as error:
        pytest.skip(str(error))
    model.packed = PackedWeights("int8", packed_matrices(model, "int8"), pool)
    assert 0.25 < bytes_per_token(model) / plain < 0.3
