"""A reader from both sides: each state has seen the whole text, and no padding; it is torch's own bidirectional LSTM."""

import pytest
import torch

from textmill.errors import RecipeError
from textmill.models.bidirectional import Bidirectional, BidirectionalConfig
from textmill.models.count import count
from textmill.models.settings import ModelSettings
from textmill.recipe import check_recipe


def made(**shape: object) -> Bidirectional:
    sizes: dict[str, object] = {"vocabulary_size": 40, "context_length": 32, "layers": 2, "width": 16, "tied_embeddings": False}
    model = Bidirectional(BidirectionalConfig(**{**sizes, **shape}))  # type: ignore[arg-type]
    model.initialise(0)
    return model.eval()


def inputs() -> torch.Tensor:
    return torch.randint(1, 40, (3, 9), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("pair_rows", [0, 50])
def test_a_padded_text_reads_as_it_does_alone(cell: str, pair_rows: int) -> None:
    model, lengths = made(cell=cell, pair_rows=pair_rows), torch.tensor([9, 4, 1])
    found = model.hidden(inputs(), lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row, :length], model.hidden(inputs()[row : row + 1, :length])[0])


def test_every_state_has_seen_both_ends() -> None:
    model = made(pair_rows=50)
    whole = model.hidden(inputs())
    for end in (0, -1):
        other = inputs()
        other[:, end] = 0
        assert not torch.isclose(model.hidden(other), whole).all(dim=-1).any()


def test_it_is_torchs_bidirectional_lstm() -> None:
    model = made(layers=1)
    theirs = torch.nn.LSTM(16, 8, bidirectional=True, batch_first=True)
    names = {"weight_ih": "input_weight", "weight_hh": "hidden_weight", "bias_ih": "input_bias", "bias_hh": "hidden_bias"}
    for suffix, cell in (("", model.blocks[0].onward), ("_reverse", model.blocks[0].backward_cell)):
        for name, own in names.items():
            getattr(theirs, f"{name}_l0{suffix}").data.copy_(getattr(cell, own))
    torch.testing.assert_close(model.hidden(inputs()), theirs(model.embedding(inputs()))[0])


def test_pairs_are_told_apart_by_order_and_side() -> None:
    before, after = made(pair_rows=100_003).pairs(torch.tensor([[1, 2, 1, 2]]))
    assert before[0, 1] == before[0, 3] != before[0, 2]
    assert after[0, 0] == after[0, 2] != before[0, 1]


def test_its_shape_comes_from_settings_and_is_counted() -> None:
    config = ModelSettings(architecture="bilstm", layers=2, width=32, pair_rows=64).config(100)
    assert isinstance(config, BidirectionalConfig) and config.pair_rows == 64
    assert count(config).parameters == sum(parameter.numel() for parameter in Bidirectional(config).parameters())


def test_it_learns_no_language() -> None:
    with pytest.raises(RecipeError, match="what reads whole texts is for tasks alone"):
        check_recipe({"corpus": {"source": "a.txt"}, "train": {"steps": 5}, "model": {"architecture": "bilstm"}}, "recipe")
    with pytest.raises(RecipeError, match=r"model\.pair_rows: lstm has no such part"):
        ModelSettings(architecture="lstm", pair_rows=5).config(100)
