"""A step whose shapes never change gives what the ordinary one gives; recorded as a CUDA graph, too, where there is a GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from textmill.inference.decode_graphs import LEAST_REACH, DecodeGraphs, FixedStep, reach_for, why_none
from textmill.inference.passes import Group, Passes
from textmill.models.decoder import Decoder

DIALECTS: dict[str, dict[str, Any]] = {
    "rotary": {},
    "windows": {"windows": (0, 8, 8)},
    "alibi": {"positions": "alibi"},
    "learned": {"positions": "learned", "norm": "layer", "gated": False, "activation": "gelu"},
}
LENGTHS = [5, 17, 1]
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


def read(model: Decoder, generator: torch.Generator) -> tuple[Any, list[list[int]]]:
    """Slots whose rows have read `LENGTHS` tokens, and those tokens with four more each."""
    slots = model.new_slots(len(LENGTHS) + 1, 64)
    rows = [torch.randint(512, (length + 4,), generator=generator).tolist() for length in LENGTHS]
    for row, length in enumerate(LENGTHS):
        inputs = torch.tensor([rows[row][:length]], device=model.device)
        model.hidden(inputs, state=slots.view(row, [0]))
    return slots, rows


@pytest.mark.parametrize("dialect", DIALECTS)
@torch.inference_mode()
def test_the_fixed_step_is_the_ordinary_one(make_decoder: Callable[..., Decoder], dialect: str) -> None:
    model = make_decoder(**DIALECTS[dialect])
    slots, rows = read(model, torch.Generator().manual_seed(0))
    bystander = [buffer[len(LENGTHS)].clone() for buffer in slots.keys]
    step = FixedStep(model, slots, len(LENGTHS), reach=32)
    for more in range(4):
        lengths = [length + more for length in LENGTHS]
        step.place([row[length] for row, length in zip(rows, lengths)], lengths)
        found = step.run()
        for row, length in enumerate(lengths):
            whole = model.hidden(torch.tensor([rows[row][: length + 1]]))
            torch.testing.assert_close(found[row, 0], whole[0, -1], rtol=1e-4, atol=1e-4)
    for before, buffer in zip(bystander, slots.keys):  # a row that reads nothing keeps what it has
        assert torch.equal(before, buffer[len(LENGTHS)])


@torch.inference_mode()
def test_shapes_and_memory_are_the_same_from_token_to_token(make_decoder: Callable[..., Decoder]) -> None:
    model = make_decoder()
    step = FixedStep(model, model.new_slots(2, 64), 2, reach=32)
    places = step.inputs.data_ptr(), step.view.standing.data_ptr(), step.view.reach(0, 1)[0].shape
    for length in (1, 9, 30):
        step.place([3, 4], [length, 0])
        step.run()
        assert (step.inputs.data_ptr(), step.view.standing.data_ptr(), step.view.reach(0, 1)[0].shape) == places


def test_reaches_double_and_hold_the_token_that_is_read() -> None:
    assert reach_for(0, 4096) == reach_for(LEAST_REACH - 1, 4096) == LEAST_REACH
    assert reach_for(LEAST_REACH, 4096) == 2 * LEAST_REACH and reach_for(3000, 3500) == 3500
    assert all(reach_for(length, 1000) > length for length in range(1000))


def test_why_steps_are_not_recorded_is_told(make_decoder: Callable[..., Decoder], make_recurrent: Callable[..., Any]) -> None:
    if not torch.cuda.is_available():
        assert why_none(make_decoder(), None) == "the model is on cpu, not on a CUDA device"
        assert Passes(make_decoder(), make_decoder().new_slots(2, 64), 0).graphs is None


@NO_GPU
@torch.inference_mode()
def test_a_recorded_step_is_the_fixed_one(make_decoder: Callable[..., Decoder]) -> None:
    model = make_decoder().to("cuda")
    slots, rows = read(model, torch.Generator().manual_seed(0))
    graphs = DecodeGraphs(model, slots)
    for more in range(4):
        lengths = [length + more for length in LENGTHS]
        found = graphs.hidden([row[length] for row, length in zip(rows, lengths)], lengths)
        assert found is not None, graphs.failed
        for row, length in enumerate(lengths):
            whole = model.hidden(torch.tensor([rows[row][: length + 1]], device="cuda"))
            torch.testing.assert_close(found[row, 0], whole[0, -1], rtol=1e-3, atol=1e-3)


@NO_GPU
@torch.inference_mode()
def test_a_pass_takes_the_graph_and_a_chunk_beside_it(make_decoder: Callable[..., Decoder]) -> None:
    model = make_decoder().to("cuda")
    slots, rows = read(model, torch.Generator().manual_seed(0))
    passes = Passes(model, slots, 0)
    groups = [Group(0, LENGTHS, [[row[length]] for row, length in zip(rows, LENGTHS)]), Group(3, [0], [rows[1][:9]])]
    ones, chunk = passes.run(groups)
    assert isinstance(ones, torch.Tensor) and isinstance(chunk, torch.Tensor) and "CUDA graph" in passes.by
    whole = model.hidden(torch.tensor([rows[1][:9]], device="cuda"))
    torch.testing.assert_close(chunk, whole, rtol=1e-3, atol=1e-3)
