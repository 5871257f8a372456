"""The average of the weights: what it is, that it goes back to where it was, and that it's in the checkpoint."""

from pathlib import Path

import pytest
import torch

from textmill.training.averaging import EVERY, WeightAverage
from textmill.training.checkpoints import TrainState, restore, save_checkpoint
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1])
def test_its_mean_age_is_the_asked_share_of_the_training_whatever_its_length(share: float) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, share)
    for step in range(1, 4001):
        model.weight.data.fill_(float(step))  # so the average is the mean step
        average.update(step)
        if step in (1000, 4000):
            age = step - float(average.tensors["weight"])
            assert age / step == pytest.approx(share, abs=2 * EVERY / step)


def test_in_place_gives_the_model_back_to_the_bit(make_decoder) -> None:
    model = make_decoder()
    average = WeightAverage(model, 0.1)
    own = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.data.mul_(3)
    trained = [parameter.detach().clone() for parameter in model.parameters()]
    with average.in_place():
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), own))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), trained))
    assert all(torch.equal(a, b) for a, b in zip(average.tensors.values(), own))


def test_a_checkpoint_holds_the_average_and_what_validated_best(make_decoder, tmp_path: Path) -> None:
    def fresh() -> TrainState:
        model = make_decoder()
        return TrainState(0, model, Optimizer(model, TrainSettings(steps=9)), WeightAverage(model, 0.1))

    state = fresh()
    for tensor in state.average.tensors.values():
        tensor.mul_(2)
    state.step, state.best_step, state.best_validation, state.clipped_steps = 4, 3, 1.5, 2
    save_checkpoint(tmp_path, state, {}, steps=9, decay_start=9, keep=2)
    again = fresh()
    assert restore(tmp_path, again, steps=9, decay_start=9)
    assert all(torch.equal(again.average.tensors[name], tensor) for name, tensor in state.average.tensors.items())
    assert (again.best_step, again.best_validation, again.clipped_steps) == (3, 1.5, 2)
    # Another length validates at other steps: what was best on the way to step 9 isn't compared with them.
    longer = fresh()
    assert restore(tmp_path, longer, steps=20, decay_start=15)
    assert (longer.step, longer.best_step, longer.best_validation) == (4, 0, None)


def test_the_checkpoint_that_validated_best_is_kept(make_decoder, tmp_path: Path) -> None:
    model = make_decoder()
    state = TrainState(0, model, Optimizer(model, TrainSettings(steps=9)))
    for state.step in range(1, 8):
        if state.step == 2:
            state.best_step, state.best_validation = 2, 1.0
        save_checkpoint(tmp_path, state, {}, steps=9, decay_start=0, keep=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000002", "step-00000006", "step-00000007"]
