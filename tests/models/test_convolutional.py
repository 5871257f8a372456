"""A reader of phrases: padding changes nothing, a phrase says the same wherever it stands, and it is for tasks alone."""

import pytest
import torch

from textmill.errors import ModelError, RecipeError
from textmill.models.convolutional import LOOKED_UP, SPANS, Convolutional, ConvolutionalConfig, pooled
from textmill.models.count import count
from textmill.models.settings import ModelSettings
from textmill.recipe import check_recipe

WIDTH = 3 * 8 + LOOKED_UP


@pytest.fixture
def model() -> Convolutional:
    model = Convolutional(ConvolutionalConfig(50, 16, 1, WIDTH, pair_rows=97))
    model.initialise(0)
    torch.nn.init.normal_(model.pair_embedding.weight, generator=torch.Generator().manual_seed(1))
    return model.eval()


def test_padding_changes_nothing_of_a_text(model: Convolutional) -> None:
    texts = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(2))
    padded = torch.cat([texts, torch.zeros(2, 4, dtype=torch.long)], dim=1)
    lengths = torch.tensor([9, 9])
    assert torch.allclose(pooled(model(padded), lengths), pooled(model(texts), lengths), atol=1e-6)


def test_a_phrase_says_the_same_wherever_it_stands(model: Convolutional) -> None:
    phrase = [7, 8, 9, 10]
    early, late = torch.tensor([[1, *phrase, 3, 4]]), torch.tensor([[5, 6, 1, *phrase]])
    found = model(early)[0, 4], model(late)[0, 6]
    assert torch.allclose(found[0], found[1], atol=1e-6)
    convolution, span = model.blocks[0].convolutions[-1], SPANS[-1]  # type: ignore[index, union-attr]
    by_hand = torch.relu(convolution(model.embedding(torch.tensor(phrase[-span:])).flatten()))
    assert torch.allclose(found[0][:-LOOKED_UP][-8:], by_hand, atol=1e-5)


def test_what_is_looked_up_is_of_a_token_and_of_its_pair(model: Convolutional) -> None:
    alone, behind = model(torch.tensor([[7]]))[0, 0], model(torch.tensor([[3, 7]]))[0, 1]
    same_token = model(torch.tensor([[4, 7]]))[0, 1]
    assert not torch.equal(alone[-LOOKED_UP:], behind[-LOOKED_UP:]) and not torch.equal(behind, same_token)


def test_its_shape_is_checked_and_counted() -> None:
    config = ModelSettings(architecture="cnn", preset="0.5m", pair_rows=64).config(100)
    assert isinstance(config, ConvolutionalConfig) and config.pair_rows == 64
    assert count(config).parameters == sum(parameter.numel() for parameter in Convolutional(config).parameters())
    with pytest.raises(ModelError, match="at least 19, found 18"):
        ConvolutionalConfig(50, 16, 1, 18)
    with pytest.raises(ModelError, match="one layer, found 2"):
        ConvolutionalConfig(50, 16, 2, WIDTH)
    assert Convolutional(ConvolutionalConfig(50, 16, 1, 100))(torch.tensor([[1, 2]])).shape == (1, 2, 100)


def test_it_is_for_tasks_alone() -> None:
    recipe = {"corpus": {"source": "a.txt"}, "train": {"steps": 5}, "model": {"architecture": "cnn"}}
    with pytest.raises(RecipeError, match="for tasks alone"):
        check_recipe(recipe, "recipe")
    folded = {**recipe, "model": {"architecture": "lstm"}, "tokenizer": {"kind": "word", "fold": True}}
    with pytest.raises(RecipeError, match="can't give a text back"):
        check_recipe(folded, "recipe")
