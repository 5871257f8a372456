"""What an encoder puts in a mask's place is what its stock class's logits say."""

import pytest
import torch

from textmill.errors import GenerationError
from textmill.inference.fill import fill, filled
from textmill.inference.generate import complete
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import MASK, PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer


@pytest.fixture(scope="module")
def masking_tokenizer(texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(vocabulary_size=512), texts, special=(PAD, MASK))


def test_candidates_are_the_likeliest_tokens_of_each_mask(make_encoder, masking_tokenizer) -> None:
    model = make_encoder("modernbert")
    found = fill(model, masking_tokenizer, f"The {MASK} of a function is {MASK}.", top=3)
    tokenizer = masking_tokenizer
    ids = [*tokenizer.prefix, *tokenizer.encode("The"), tokenizer.mask_id, *tokenizer.encode(" of a function is")]
    logits = model(torch.tensor([[*ids, tokenizer.mask_id, *tokenizer.encode(".")]]))[0]
    for candidates, place in zip(found, (len(tokenizer.prefix) + len(tokenizer.encode("The")), len(ids)), strict=True):
        row = logits[place]
        row[sorted(tokenizer.special_ids)] = -torch.inf  # no text
        likeliest = row.softmax(dim=-1).topk(3)
        assert [candidate.text for candidate in candidates] == [tokenizer.decode([id]) for id in likeliest.indices.tolist()]
        assert [candidate.probability for candidate in candidates] == pytest.approx(likeliest.values.tolist(), rel=1e-4)
    text = filled(model, tokenizer, f"a {MASK} b {MASK}")
    assert text.startswith("a [") and "] b [" in text and MASK not in text


def test_what_cannot_be_filled_in_is_told(
    make_encoder, make_decoder, make_encoder_decoder, tokenizer, masking_tokenizer
) -> None:
    encoder = make_encoder("bert")
    for model, words, text, problem in (
        (encoder, masking_tokenizer, "no mask", r"no <\|mask\|> in the text"),
        (encoder, masking_tokenizer, f"{MASK} word" * 70, "the model's context is 64"),
        (encoder, tokenizer, MASK, "no mask among its tokens"),
        (make_decoder(), masking_tokenizer, MASK, "a decoder guesses no masked words; `textmill generate`"),
        (
            make_encoder_decoder("marian"),
            masking_tokenizer,
            MASK,
            "an encoder–decoder guesses no masked words; `textmill fill`",
        ),
    ):
        with pytest.raises(GenerationError, match=problem):
            fill(model, words, text)
    with pytest.raises(GenerationError, match="an encoder doesn't write on; `textmill fill`"):
        complete(encoder, masking_tokenizer, "a")
