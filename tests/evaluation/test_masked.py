"""The hidden words are the same for every system; what is guessed is counted word by word, and a guesser's bits are honest."""

import math

import numpy as np
import pytest
import torch

from textmill.corpus.document import Document
from textmill.errors import CorpusError, ModelError
from textmill.evaluation.masked import EncoderScorer, MaskedScore, bits_per_masked_token, hidden_words, hide, with_guesses
from textmill.evaluation.masked_baselines import WordCounts, WordScorer
from textmill.evaluation.masked_evaluation import evaluate_masked
from textmill.evaluation.table import render_masked_evaluation
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import MASK, PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer


@pytest.fixture(scope="module")
def documents(texts: list[str]) -> list[Document]:
    return [Document(text[:3000], str(number), "topics") for number, text in enumerate(texts[:6])]


@pytest.fixture(scope="module", params=["bpe", "wordpiece"])
def masking_tokenizer(request: pytest.FixtureRequest, texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(kind=request.param, vocabulary_size=512), texts, special=(PAD, MASK))


class Oracle(torch.nn.Module):
    """Stands in an encoder's place and knows the token of each place: a head that scores it highest."""

    family = "encoder"

    def __init__(self, encoder, answers: dict[tuple[int, ...], list[int]]):
        super().__init__()
        self.config, self.answers, self.encoder = encoder.config, answers, encoder
        self.device = torch.device("cpu")
        self.head = torch.nn.Identity()

    def hidden(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        rows = [torch.tensor(self.answers[tuple(row[:length].tolist())]) for row, length in zip(inputs, lengths)]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return 50.0 * torch.nn.functional.one_hot(padded, 512)


def test_the_hidden_words_depend_on_the_document_alone(documents, masking_tokenizer) -> None:
    document = documents[0]
    words = hidden_words(document)
    assert words == hidden_words(Document(document.text, document.id, "another source"))
    assert words != hidden_words(Document(document.text, "another id", "topics"))
    hidden = hide(masking_tokenizer, document.text, words)
    shown = masking_tokenizer.decode(hidden.ids[~hidden.hidden].tolist())
    for (begin, end), (first, last) in zip(words, hidden.words):
        assert document.text[begin:end] in masking_tokenizer.decode(hidden.ids[first:last].tolist())
        assert hidden.hidden[first:last].all()
    assert 0.1 < sum(end - begin for begin, end in words) / len(document.text) < 0.2 and shown
    assert hidden_words(Document("… — 。", "0", "")) == []


def test_who_knows_all_is_always_right_and_pays_nothing(documents, masking_tokenizer, make_encoder) -> None:
    scorer = EncoderScorer(make_encoder("bert"), masking_tokenizer, batch_size=3)
    answers = {}
    prefix, room = masking_tokenizer.prefix, scorer.room
    for document in documents:
        text = hide(masking_tokenizer, document.text, hidden_words(document))
        asked = np.where(text.hidden, masking_tokenizer.mask_id, text.ids)
        for begin in range(0, len(text.ids), room):
            row = (*prefix, *asked[begin : begin + room].tolist())
            answers[row] = [*prefix, *text.ids[begin : begin + room].tolist()]
    scorer.model = Oracle(scorer.model, answers)  # type: ignore[assignment]
    scores = list(scorer.score(documents))
    lost = [masking_tokenizer.lost_bytes(document.text) for document in documents]
    assert [score.words for score in scores] == [len(hidden_words(document)) for document in documents]
    for score, lost_bytes in zip(scores, lost):
        assert score.right == score.words and score.nats < 1e-6 if not lost_bytes else score.right <= score.words
    brackets = str.maketrans("", "", "[]")
    assert with_guesses(scorer, documents[0]).translate(brackets) == documents[0].text.translate(brackets)


def test_an_encoder_is_scored_the_same_in_any_batch(documents, masking_tokenizer, make_encoder) -> None:
    model = make_encoder("modernbert")
    one, many = (list(EncoderScorer(model, masking_tokenizer, rows).score(documents)) for rows in (1, 7))
    assert [score.right for score in one] == [score.right for score in many]
    assert [score.nats for score in one] == pytest.approx([score.nats for score in many], rel=1e-4)
    tokens = sum(score.tokens for score in one)
    bits = sum(score.nats for score in one) / math.log(2) / tokens
    assert bits_per_masked_token(EncoderScorer(model, masking_tokenizer), documents) == pytest.approx(bits, rel=1e-4)


def test_a_word_that_cannot_be_spelt_is_wrong_and_costs_its_bytes(make_encoder, texts) -> None:
    tokenizer = train_tokenizer(TokenizerSettings(kind="wordpiece", vocabulary_size=300), texts, special=(PAD, MASK))
    scorer = EncoderScorer(make_encoder("bert"), tokenizer)
    [score] = scorer.score([Document("漢", "0", "")])
    assert (score.words, score.right) == (1, 0) and score.nats >= 3 * 8 * math.log(2)


def test_blind_guessers_guess_by_counts_and_their_probabilities_add_up_to_at_most_one() -> None:
    counts = WordCounts(["the cat saw the dog", "the cat ran"])
    frequent, before = WordScorer(counts, neighbours=False), WordScorer(counts, neighbours=True)
    assert frequent._guess(None) == before._guess(None) == "the" and before._guess("the") == "cat"
    for scorer, left in ((frequent, None), (before, "the")):
        seen = sum(scorer._probability(word, left) for word in counts.words)
        assert 0.3 < seen < 1 and 0 < scorer._probability("zebra", left) < scorer._probability("ran", left)
    document = Document("the cat ran", "2", "")
    [(begin, end)] = hidden_words(document)
    [score] = before.score([document])
    assert score == MaskedScore("2", "", 1, score.right, score.nats, 1) and score.nats > 0
    assert score.right == (
        document.text[begin:end] == before._guess({"cat": "the", "ran": "cat"}.get(document.text[begin:end]))
    )


def test_systems_are_compared_on_the_same_words(documents, masking_tokenizer, make_encoder) -> None:
    counts = WordCounts(document.text for document in documents)
    scorers = [EncoderScorer(make_encoder("bert"), masking_tokenizer), WordScorer(counts, True), WordScorer(counts, False)]
    evaluation = evaluate_masked(scorers, documents, samples=200)
    ours, before, frequent = evaluation.systems
    assert before.accuracy.low < before.accuracy.value < before.accuracy.high <= 1
    assert before.accuracy.value > frequent.accuracy.value and evaluation.closest == 0
    difference = ours.bits_per_masked_word.value - before.bits_per_masked_word.value
    assert evaluation.differences[0].value == pytest.approx(difference)
    text = render_masked_evaluation(evaluation)
    assert f"{before.accuracy.value:.3f}" in text and "bits per masked word above the better baseline, word before" in text


def test_documents_without_words_are_refused(masking_tokenizer, make_encoder) -> None:
    scorers = [EncoderScorer(make_encoder("bert"), masking_tokenizer), WordScorer(WordCounts(["a word"]), True)]
    silent = [Document("… — 。", "0", ""), Document("!?", "1", "")]
    with pytest.raises(CorpusError, match="the documents have no words to hide; give other text"):
        evaluate_masked(scorers, silent, samples=20)
    evaluation = evaluate_masked(scorers, [*silent, Document("a word", "2", "")], samples=20)
    assert [score.id for score in evaluation.documents[0]] == ["2"]


def test_who_cannot_guess_is_refused(make_encoder, tokenizer, masking_tokenizer) -> None:
    with pytest.raises(ModelError, match="no mask among its tokens"):
        EncoderScorer(make_encoder("bert"), tokenizer)
    with pytest.raises(ModelError, match="no head for masked tokens"):
        EncoderScorer(make_encoder("bert", masked_head=False, pooler=True), masking_tokenizer)
