"""What validation decides: the best step, when patience is at its end, and which weights become the model."""

from textmill.training.averaging import WeightAverage
from textmill.training.checkpoints import TrainState
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings
from textmill.training.stopping import choose_weights, due, note_validation, out_of_patience


def state_of(make_decoder, averaged: bool = False) -> TrainState:
    model = make_decoder()
    return TrainState(0, model, Optimizer(model, TrainSettings(steps=9)), WeightAverage(model, 0.1) if averaged else None)


def test_patience_counts_validations_since_the_best(make_decoder) -> None:
    state, steps, times = state_of(make_decoder), 100, 10
    course = {10: 3.0, 20: 2.5, 30: 2.6, 40: 2.4, 50: 2.4, 60: 2.41, 70: 2.5}
    ended = []
    for state.step in range(1, 101):
        if due(state.step, steps, times) and state.step in course:
            note_validation(state, course[state.step])
        if out_of_patience(state, steps, times, patience=3):
            ended.append(state.step)
    assert (state.best_step, state.best_validation) == (40, 2.4)
    assert ended[0] == 70
    assert not out_of_patience(state, steps, times, patience=None)


def test_the_weights_that_validate_best_are_chosen(make_decoder) -> None:
    def first_weight(model) -> float:
        return float(model.embedding.weight.detach()[0, 0])

    last = state_of(make_decoder)
    last.step = last.best_step = 9
    assert choose_weights(last, last.model, first_weight).kind == "last"  # nothing else to choose from, nothing measured

    state = state_of(make_decoder, averaged=True)
    state.step, state.best_step, state.best_validation = 9, 4, 7.0
    state.model.embedding.weight.data[0, 0] = 8.0
    for value, kind, step in ((6.0, "averaged", 9), (7.5, "best", 4)):
        state.average.tensors["embedding.weight"][0, 0] = value
        chosen = choose_weights(state, state.model, first_weight)
        assert (chosen.kind, chosen.step) == (kind, step)
        assert chosen.validation == {"last": 8.0, "best": 7.0, "averaged": value}
    assert first_weight(state.model) == 8.0
