"""An encoder–decoder is asked for the words that encoders are asked for, and pays what each of their pieces costs it."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from textmill.corpus.document import Document
from textmill.errors import TokenizerError
from textmill.evaluation.masked import hidden_words, hide
from textmill.evaluation.spans import SpanScorer, without_hidden_words
from textmill.models.encoder_decoder import EncoderDecoder
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.spans import MARKS, marked
from textmill.tokens.special_tokens import PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(vocabulary_size=512), texts, special=[PAD, *MARKS])


@pytest.fixture(scope="module")
def documents(texts: list[str]) -> list[Document]:
    return [Document(text[: 200 * number], str(number), "here") for number, text in enumerate(texts[:6], start=1)]


@pytest.fixture
def model(make_encoder_decoder) -> EncoderDecoder:
    return make_encoder_decoder("marian", context_length=48)


def test_the_words_are_the_encoders_and_cost_what_their_pieces_cost(model, tokenizer, documents) -> None:
    scorer = SpanScorer(model, tokenizer, batch_size=3)
    scores = list(scorer.score(documents))
    assert [score.words for score in scores] == [len(hidden_words(document)) for document in documents]
    short = dataclasses.replace(documents[0], text=documents[0].text[:60])
    text = hide(tokenizer, short.text, hidden_words(short))
    source, target = scorer.task.framed(*marked(text.ids, text.hidden, tokenizer.span_ids))
    assert np.array_equal(without_hidden_words(tokenizer, short), source[1:])
    inputs, targets = torch.tensor([[tokenizer.pad_id, *target[:-1]]]), torch.tensor([target])
    nats = model.token_nats(inputs, targets, torch.tensor([source]))[0]
    asked = ~torch.isin(targets[0], torch.tensor([*tokenizer.span_ids, tokenizer.eos_id]))
    [score] = scorer.score([short])
    assert score.tokens == asked.sum() and score.nats == pytest.approx(float(nats[asked].sum()), rel=1e-4)


def test_batches_and_windows_change_nothing_but_what_is_seen(model, tokenizer, documents) -> None:
    together, alone = (list(SpanScorer(model, tokenizer, rows).score(documents)) for rows in (16, 1))
    for one, other in zip(together, alone, strict=True):
        assert (one.words, one.right, one.tokens) == (other.words, other.right, other.tokens)
        assert one.nats == pytest.approx(other.nats, rel=1e-4)
    first, second = (SpanScorer(model, tokenizer).bits_per_span_token(documents) for _ in range(2))
    assert first == second > 0


def test_a_window_ends_where_the_marks_do(make_encoder_decoder, tokenizer) -> None:
    scorer = SpanScorer(make_encoder_decoder("mbart", context_length=400), tokenizer)
    scorer.task.marks = scorer.task.marks[:5]
    hidden = np.arange(300) % 10 < 2
    windows = list(scorer._windows(hidden))
    assert windows[0] == (0, 50) and windows[-1][1] == 300
    assert all(begin == end for (_, begin), (end, _) in itertools.pairwise(windows))


def test_a_model_that_knows_nothing_pays_the_same_for_every_token(model, tokenizer, documents) -> None:
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.head.bias.zero_()
    scorer = SpanScorer(model, tokenizer)
    assert scorer.bits_per_span_token(documents) == pytest.approx(math.log2(tokenizer.vocabulary_size), rel=1e-5)
    for score in scorer.score(documents):
        assert score.nats == pytest.approx(score.tokens * math.log(tokenizer.vocabulary_size), rel=1e-5)


def test_a_tokenizer_without_marks_is_refused(model, texts) -> None:
    plain = train_tokenizer(TokenizerSettings(vocabulary_size=400), texts)
    with pytest.raises(TokenizerError, match="span_0"):
        SpanScorer(model, plain)
