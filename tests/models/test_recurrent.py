"""The recurrent family gives torch's own numbers: whole, in pieces, padded, picked, merged, and carried from batch to batch."""

import pytest
import torch

from textmill.errors import ModelError
from textmill.models.count import activation_bytes, count, state_bytes
from textmill.models.hooks import hook_points, recorded
from textmill.models.loss import PLAIN
from textmill.models.recurrent import Recurrent, RecurrentConfig
from textmill.models.recurrent_state import RecurrentState
from textmill.tokens.loader import Batch
from textmill.training.objectives import CausalObjective

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
TORCHS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 512, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=TORCHS)
def model(request: pytest.FixtureRequest, make_recurrent) -> Recurrent:
    return make_recurrent(cell=request.param)


def test_the_numbers_are_those_of_torchs_own_module(model: Recurrent) -> None:
    theirs = TORCHS[model.config.cell](48, 48, num_layers=3, batch_first=True)
    names = {"input_weight": "weight_ih", "hidden_weight": "weight_hh", "input_bias": "bias_ih", "hidden_bias": "bias_hh"}
    theirs.load_state_dict(
        {f"{names[name]}_l{n}": p for n, block in enumerate(model.blocks) for name, p in block.cell.named_parameters()}
    )
    inputs = tokens(2, 20)
    expected, last = theirs(model.embedding(inputs))
    state = model.new_state(rows=2)
    torch.testing.assert_close(model(inputs, state=state), model.head(expected), **TOLERANCE)
    last = torch.stack(last if isinstance(last, tuple) else (last,))  # (P, L, B, D)
    torch.testing.assert_close(state.values, last.permute(2, 1, 0, 3), **TOLERANCE)


def test_cached_is_uncached_whatever_the_length(model: Recurrent) -> None:
    inputs = tokens(2, 40)  # more than the context, which is only how far training looks back
    state = model.new_state(rows=2)
    cached = torch.cat([model(piece, state=state) for piece in inputs.split([7, 1, 1, 20, 11], dim=1)], dim=1)
    torch.testing.assert_close(cached, model(inputs), **TOLERANCE)
    assert state.length == 40


def test_padding_at_the_left_changes_nothing(model: Recurrent) -> None:
    texts = [tokens(1, length, seed=length) for length in (12, 5, 9, 5)]
    padding = torch.tensor([12 - text.size(1) for text in texts])
    rows = torch.cat([torch.nn.functional.pad(text, (12 - text.size(1), 0)) for text in texts])
    state = model.new_state(rows=4)
    logits = torch.cat([model(piece, state=state, padding=padding) for piece in rows.split([2, 3, 7], dim=1)], dim=1)
    following = model(tokens(4, 2, seed=3), state=state)
    for row, text in enumerate(texts):
        torch.testing.assert_close(logits[row, padding[row] :], model(text)[0], **TOLERANCE)
        whole = torch.cat([text, tokens(4, 2, seed=3)[row : row + 1]], dim=1)
        torch.testing.assert_close(following[row], model(whole)[0, -2:], **TOLERANCE)


def test_rows_of_a_state_are_picked_merged_and_rolled_back(model: Recurrent) -> None:
    texts = [tokens(2, 9), tokens(1, 14, seed=1)]
    states = []
    for text in texts:
        states.append(model.new_state(rows=len(text)))
        model(text, state=states[-1])
    merged = RecurrentState.merge(states).select(torch.tensor([2, 0, 0]))
    assert (merged.rows, merged.length) == (3, 14)
    mark = merged.mark()
    model(tokens(3, 3, seed=2), state=merged)
    merged.rollback(mark)
    assert merged.length == 14
    following = tokens(3, 1, seed=3)
    logits = model(following, state=merged)
    for row, text in enumerate([texts[1], texts[0][:1], texts[0][:1]]):
        whole = torch.cat([text, following[row : row + 1]], dim=1)
        torch.testing.assert_close(logits[row], model(whole)[0, -1:], **TOLERANCE)
    assert merged.bytes(1) == merged.bytes(10**9) == state_bytes(model.config, 1) == merged.values[0].nbytes


def batch_of(inputs: torch.Tensor, targets: torch.Tensor, continues: list[bool]) -> Batch:
    rows = torch.zeros(len(inputs), dtype=torch.int32)
    return Batch(inputs, targets, torch.zeros_like(inputs), None, rows, torch.tensor(continues), targets.numel())


def test_carried_from_batch_to_batch_it_is_one_long_row(model: Recurrent) -> None:
    text, objective, carry, found = tokens(2, 25), CausalObjective(PLAIN), None, []
    for start in (0, 8, 16):
        batch = batch_of(text[:, start : start + 8], text[:, start + 1 : start + 9], [start > 0] * 2)
        _, carry, metrics = objective(model, batch, carry)
        found.append(metrics["nats"])
        assert not carry.requires_grad
    torch.testing.assert_close(sum(found), model.token_nats(text[:, :-1], text[:, 1:]).sum(), **TOLERANCE)
    # A row that begins anew knows nothing of what stood in its place.
    _, _, metrics = objective(model, batch_of(text[:, :8], text[:, 1:9], [False, False]), carry)
    assert torch.equal(metrics["nats"], found[0])


def test_no_gradient_goes_back_beyond_the_batch(model: Recurrent) -> None:
    early, late = torch.arange(8)[None], torch.arange(8, 17)[None]
    _, carry, _ = CausalObjective()(model, batch_of(early, early, [False]), None)
    loss, _, _ = CausalObjective()(model, batch_of(late[:, :-1], late[:, 1:], [True]), carry)
    loss.backward()
    reached = model.embedding.weight.grad.abs().sum(dim=1) > 0
    assert reached.nonzero().flatten().tolist() == list(range(8, 16))


def test_dropout_is_the_same_at_every_step_of_a_row(make_recurrent) -> None:
    model = make_recurrent()
    inputs = tokens(3, 10)
    plain = model(inputs)
    model.set_dropout(0.5, 0.4)
    assert torch.equal(model(inputs), plain), "only training drops"
    model.train()
    torch.manual_seed(1)
    with recorded(model, ["embeddings", "blocks.0.residual", "blocks.2.residual"]) as found:
        dropped = model(inputs)
    for x in found.values():
        zeros = x == 0
        assert torch.equal(zeros, zeros[:, :1].expand_as(zeros))  # one mask a row
        assert 0.3 < zeros[:, 0].float().mean() < 0.7
        assert not torch.equal(zeros[0], zeros[1])
    torch.manual_seed(1)
    assert torch.equal(model(inputs), dropped)


def test_weight_dropout_zeroes_hidden_to_hidden_weights_alone(make_recurrent) -> None:
    model = make_recurrent(layers=1).train()
    model.set_dropout(0.0, 0.4)
    model(tokens(2, 6), tokens(2, 6, seed=1)).backward()
    cell = model.blocks[0].cell
    unreached = {name: float((p.grad == 0).float().mean()) for name, p in cell.named_parameters()}
    assert unreached.pop("hidden_weight") == pytest.approx(0.4, abs=0.05)
    assert not any(unreached.values())


def test_initial_weights_are_a_function_of_the_seed(model: Recurrent) -> None:
    model.initialise(3)
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.initialise(4)
    assert not torch.equal(model.blocks[0].cell.hidden_weight, first["blocks.0.cell.hidden_weight"])
    model.initialise(3)
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())
    for block in model.blocks:
        for gate in block.cell.hidden_weight.split(48):
            torch.testing.assert_close(gate @ gate.T, torch.eye(48), **TOLERANCE)
        biases = block.cell.input_bias + block.cell.hidden_bias
        forget = slice(48, 96) if model.config.cell == "lstm" else slice(0)
        assert (biases[forget] == 1).all() and biases.sum() == len(biases[forget])


def test_tied_embeddings_are_one_matrix(make_recurrent) -> None:
    model = make_recurrent(tied_embeddings=True)
    assert model.head.weight is model.embedding.weight
    assert count(model.config).parameters == sum(parameter.numel() for parameter in model.parameters())


def test_activations_computed_twice_give_the_same_gradients(model: Recurrent) -> None:
    def gradients(recompute: bool) -> list[torch.Tensor]:
        model.train()
        model.set_dropout(0.2, 0.2)
        model.set_activation_checkpointing(recompute)
        model.zero_grad()
        torch.manual_seed(0)
        model(tokens(2, 9), tokens(2, 9, seed=1)).backward()
        return [parameter.grad for parameter in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(gradients(False), gradients(True)))


def test_places_to_read_and_edit(model: Recurrent) -> None:
    assert list(hook_points(model)) == ["embeddings", *(f"blocks.{n}.residual" for n in range(3)), "hidden"]
    with recorded(model, hook_points(model)) as found:
        logits = model(tokens(1, 5))
    assert {tensor.shape for tensor in found.values()} == {(1, 5, 48)}
    torch.testing.assert_close(model.head(found["hidden"]), logits, **TOLERANCE)
    with pytest.raises(ModelError, match=r"no attention_pattern.*its places are embeddings, residual, hidden"):
        recorded(model, ["blocks.0.attention_pattern"]).__enter__()


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_counted_as_the_live_module_and_its_activations(model: Recurrent, dropout: float) -> None:
    cost = count(model.config)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert cost.matrix_parameters == 512 * 48 + 3 * 2 * model.config.cell_class.gates * 48 * 48
    assert cost.forward_flops == 2 * cost.matrix_parameters  # no attention

    def kept(layers: int) -> int:
        shape = RecurrentConfig(512, 32, layers, 48, cell=model.config.cell)
        one = Recurrent(shape).train()
        one.initialise(0)
        one.set_dropout(dropout)
        weights = {parameter.untyped_storage().data_ptr() for parameter in one.parameters()}
        found: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            one(tokens(4, 32), tokens(4, 32))
        return sum(size for place, size in found.items() if place not in weights)

    # torch's kernel for an LSTM keeps more on one machine than on another
    assert 0.3 < (kept(3) - kept(2)) / (4 * 32 * activation_bytes(model.config, 32, dropout=dropout > 0)) < 1.05
