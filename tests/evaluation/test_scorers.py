"""Each scorer pays for the same bytes, once; windows, batches and lost bytes change nothing that they shouldn't."""

import math
import pydoc_data.topics
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from textmill.corpus.document import Document
from textmill.errors import CorpusError, ModelError
from textmill.evaluation.scorers import DocumentScore, ModelScorer, NgramScorer, XzScorer
from textmill.evaluation.stream_scorer import CHUNK, StreamScorer, scorer_of
from textmill.models.ngram import NgramModel
from textmill.models.recurrent_state import RecurrentState
from textmill.tokens.loader import IGNORED

BOS, EOS, VOCABULARY = 128, 129, 130
TOPICS = sorted(pydoc_data.topics.topics.items())


class AsciiTokenizer:
    """One token an ASCII character; all else is lost."""

    document_start_id, document_end_id, vocabulary_size, hash = BOS, EOS, VOCABULARY, "ascii"

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text if character.isascii()]

    def lost_bytes(self, text: str) -> int:
        return sum(len(character.encode()) for character in text if not character.isascii())


class Uniform(torch.nn.Module):
    def token_nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.full(inputs.shape, math.log(VOCABULARY)).masked_fill(targets == -100, 0)


class Bigram(torch.nn.Module):
    """A distribution that depends on the last token alone, so that windows can't change it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(VOCABULARY, VOCABULARY, generator=torch.manual_seed(0)))

    def token_nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = self.table[inputs].flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits, targets.flatten(), reduction="none").view_as(targets)


class WholePast(torch.nn.Module):
    """A cost that depends on each token from the window's first to the target: whole numbers, so sums are exact."""

    def token_nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return ((inputs.cumsum(1) * 31 + targets) % 17).float().masked_fill(targets == -100, 0)


class FewSeen(torch.nn.Module):
    """One nat for each target past a document's first window that sees fewer than `least` tokens."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.least = least

    def token_nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
        seen = torch.arange(1, inputs.shape[1] + 1)
        return ((seen < self.least) & (inputs[:, :1] != BOS) & (targets != -100)).float()


def document(text: str, id: str = "a") -> Document:
    return Document(text, id=id, source="test")


def documents() -> list[Document]:
    """Real text of many lengths, an empty document and a Chinese one among them."""
    lengths = [0, 1, 7, 8, 9, 15, 16, 17, 40, 333, 1000, 3, 64, 63, 65]
    texts = [text[:length] for length, (_, text) in zip(lengths, TOPICS)]
    return [document(text, str(number)) for number, text in enumerate([*texts, "千里之行,始于足下"])]


def score(model: torch.nn.Module, documents: Sequence[Document], context: int, batch: int = 4) -> list[DocumentScore]:
    return list(ModelScorer(model, AsciiTokenizer(), context, batch).score(documents))


def test_uniform_model_pays_the_logarithm_of_its_vocabulary() -> None:
    for result, text in zip(score(Uniform(), documents(), context=16), documents()):
        symbols = len(AsciiTokenizer().encode(text.text)) + 1
        assert result.tokens == symbols
        expected = symbols * math.log2(VOCABULARY) + 8 * result.lost_bytes
        assert result.nats / math.log(2) == pytest.approx(expected, rel=1e-6)


def test_lost_bytes_cost_eight_bits_each() -> None:
    plain, lossy = score(Bigram(), [document("walk", "a"), document("w千alk", "b")], context=16)
    assert (plain.lost_bytes, lossy.lost_bytes) == (0, 3)
    assert (lossy.nats - plain.nats) / math.log(2) == pytest.approx(3 * 8)
    assert (plain.bytes, lossy.bytes) == (5, 8)


@pytest.mark.parametrize("context", [2, 3, 8, 17, 64])
def test_windows_score_each_target_once(context: int) -> None:
    whole = score(Bigram(), documents(), context=10_000)
    windowed = score(Bigram(), documents(), context)
    assert [result.tokens for result in windowed] == [result.tokens for result in whole]
    assert [result.nats for result in windowed] == pytest.approx([result.nats for result in whole], rel=1e-5)


def test_a_document_that_fits_is_read_whole() -> None:
    text = document(TOPICS[0][1][:63])
    tokens = [BOS, *AsciiTokenizer().encode(text.text), EOS]
    expected = sum((sum(tokens[: place + 1]) * 31 + tokens[place + 1]) % 17 for place in range(len(tokens) - 1))
    for context in (64, 65, 1000):
        assert score(WholePast(), [text], context)[0].nats == expected
    assert score(WholePast(), [text], 63)[0].nats != expected


@pytest.mark.parametrize("context", [2, 5, 16, 33])
def test_each_target_sees_half_a_context_or_more(context: int) -> None:
    texts, half = documents()[:-1], math.ceil(context / 2)
    assert all(result.nats == 0 for result in score(FewSeen(half + 1), texts, context))
    assert any(result.nats > 0 for result in score(FewSeen(half + 2), texts, context))


def test_batching_changes_neither_results_nor_their_order() -> None:
    alone = [score(WholePast(), [text], context=16, batch=1)[0] for text in documents()]
    for batch in (1, 3, 64):
        assert score(WholePast(), documents(), context=16, batch=batch) == alone


def test_model_is_scored_in_evaluation_mode_without_gradients_and_given_back_as_it_was() -> None:
    class Watchful(Uniform):
        def token_nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
            assert not self.training and not torch.is_grad_enabled()
            return super().token_nats(inputs, targets)

    for training in (True, False):
        model = Watchful().train(training)
        score(model, documents(), context=16)
        assert model.training == training


def test_impossible_windows_are_refused() -> None:
    with pytest.raises(ModelError, match="context of 1 "):
        ModelScorer(Uniform(), AsciiTokenizer(), context=1)
    with pytest.raises(ModelError, match="batch of 0 "):
        ModelScorer(Uniform(), AsciiTokenizer(), context=8, batch_size=0)


def test_ngram_scorer_counts_bytes_and_ends() -> None:
    model = NgramModel.train([text for _, text in TOPICS[:10]], order=4)
    for result, text in zip(NgramScorer(model).score(documents()), documents(), strict=True):
        assert result.nats == pytest.approx(model.nats(text.text).sum())
        assert result.bytes == len(text.text.encode()) + 1
        assert result.tokens == len(model.alphabet.symbols(text.text.encode())) + 1


def test_every_scorer_counts_the_same_bytes_and_words() -> None:
    scorers = [
        NgramScorer(NgramModel.train(["some text"], order=3)),
        XzScorer(["some text"], maximum_documents=100),
        ModelScorer(Uniform(), AsciiTokenizer(), context=16),
    ]
    counts = [[(s.id, s.source, s.bytes, s.words) for s in scorer.score(documents())] for scorer in scorers]
    assert counts[0] == counts[1] == counts[2]


def test_xz_costs_something_and_less_for_what_it_has_read() -> None:
    texts = [text for _, text in TOPICS]
    read, unread = document(texts[3][:2000], "read"), document(texts[-1][:2000], "unread")
    with_it = {result.id: result.nats for result in XzScorer(texts[:20]).score([read, unread])}
    without = {result.id: result.nats for result in XzScorer(texts[10:20]).score([read, unread])}
    assert 0 < with_it["read"] < without["read"] / 5
    assert with_it["read"] < with_it["unread"]


def test_xz_reaches_the_training_texts_beginning() -> None:
    # As far back as the training text goes: its first document must still be found.
    texts = [text for _, text in TOPICS]
    first = document(texts[0][:1500])
    (there,), (absent,) = (list(XzScorer(training).score([first])) for training in (texts, texts[1:]))
    assert there.nats < absent.nats / 5


def test_xz_takes_a_choice_that_doesnt_depend_on_the_order() -> None:
    scorer = XzScorer(["some text"], maximum_documents=5)
    forwards = list(scorer.score(documents()))
    backwards = list(scorer.score(documents()[::-1]))
    assert len(forwards) == 5
    assert forwards == backwards[::-1]
    assert scorer.signature["maximum_documents"] == 5


def test_xz_says_how_much_it_has_read() -> None:
    assert XzScorer(["ab", "cdef"], limit=5).signature["training_bytes"] == 5
    assert XzScorer(["ab", "cdef"], limit=5).signature["training_limit_reached"]
    assert not XzScorer(["ab", "cdef"], limit=9).signature["training_limit_reached"]
    with pytest.raises(CorpusError, match="no training text"):
        XzScorer([])


def test_baselines_name_the_text_they_were_given() -> None:
    def hashes(texts: list[str], limit: int) -> list[str]:
        scorers = (NgramScorer(NgramModel.train(texts, order=2, limit=limit)), XzScorer(texts, limit))
        return [scorer.signature["training_sha256"] for scorer in scorers]

    first, second = hashes(["ab", "cd"], 100)
    assert first == second
    assert hashes(["abcd"], 100)[0] != first
    assert hashes(["ab", "cd"], 5)[0] != first


class Counting(torch.nn.Module):
    """Remembers how many tokens of each row it has read, and lets each target cost as much."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0

    def new_state(self, rows: int) -> RecurrentState:
        return RecurrentState(torch.zeros(rows, 1, 1, 1))

    def token_nats(self, inputs: Tensor, targets: Tensor, state: RecurrentState) -> Tensor:
        self.longest = max(self.longest, inputs.numel())
        read = state.values[:, 0, 0] + torch.arange(1, inputs.size(1) + 1)
        state.advance(read[:, -1:, None, None], inputs.size(1))
        return read.masked_fill(targets == IGNORED, 0.0)


def test_a_stream_remembers_all_of_its_document_and_nothing_of_others() -> None:
    lengths = [5, 700, 1, 256, 255, 257, 0, 512, 90]
    model = Counting()
    scores = list(StreamScorer(model, AsciiTokenizer(), 4).score([document("x" * n, str(n)) for n in lengths]))
    assert [score.id for score in scores] == [str(n) for n in lengths]
    assert [score.tokens for score in scores] == [n + 1 for n in lengths]
    assert [score.nats for score in scores] == [(n + 1) * (n + 2) / 2 for n in lengths]
    assert model.longest <= 4 * CHUNK, "memory is bounded, however long a document is"


def test_how_documents_are_read_is_the_models_nature(make_decoder, make_recurrent) -> None:
    texts = [document("The quick brown fox. " * n, str(n)) for n in (40, 1, 3)]
    for model in (make_decoder(), make_recurrent()):
        scorer = scorer_of(model, AsciiTokenizer(), 4, "model")
        assert scorer.signature["context"] == (64 if model.family == "decoder" else None)
        alone = [next(scorer_of(model, AsciiTokenizer(), 1, "model").score([text])).nats for text in texts]
        assert [score.nats for score in scorer.score(texts)] == pytest.approx(alone, rel=1e-5)
    tokens = torch.tensor([[BOS, *AsciiTokenizer().encode(texts[0].text), EOS]])
    assert alone[0] == pytest.approx(float(model.token_nats(tokens[:, :-1], tokens[:, 1:]).sum()), rel=1e-5)
