"""The n-gram is a probability distribution, the one that Chen & Goodman describe, and better the more it sees."""

import math
import pydoc_data.topics
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import CorpusError, ModelError
from textmill.models.alphabet import END, Alphabet
from textmill.models.ngram import CHUNK, NgramModel, take_bytes

TEXTS = [text for _, text in sorted(pydoc_data.topics.topics.items())]
TRAINING, HELD_OUT = TEXTS[::2], TEXTS[1::2]
UNIFORM = 1 / 257  # 256 bytes and the end, where the text is ASCII


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return NgramModel.train(TRAINING, order=6)


def distribution(model: NgramModel, context: bytes) -> np.ndarray:
    """The probabilities of all symbols, the end among them, after a document's first bytes."""
    before = model.alphabet.symbols(context)
    others = [symbol for symbol in range(model.alphabet.size) if symbol != END]
    following = [model.symbol_nats(np.append(before, symbol).astype(np.uint16))[len(before)] for symbol in others]
    return np.exp(-np.array([*following, model.nats(context)[-1]]))


def bits_per_byte(model: NgramModel) -> float:
    costs = [model.nats(text) for text in HELD_OUT]
    return sum(cost.sum() for cost in costs) / math.log(2) / sum(map(len, costs))


def contexts() -> list[bytes]:
    generator = random.Random(5)
    text = "\n".join(TRAINING).encode()
    seen = [text[start : start + generator.randrange(1, 12)] for start in generator.choices(range(len(text)), k=8)]
    unseen = [generator.randbytes(generator.randrange(1, 12)) for _ in range(6)]
    half_seen = [unknown + known for unknown, known in zip(unseen, seen)]
    return [b"", TRAINING[0].encode()[:3], TRAINING[0].encode(), *seen, *unseen, *half_seen]


@pytest.mark.parametrize("order", [1, 2, 6, 7])
def test_probabilities_of_every_context_sum_to_one(order: int) -> None:
    model = NgramModel.train(TRAINING[:20], order)
    for context in contexts():
        assert distribution(model, context).sum() == pytest.approx(1, abs=1e-5)


def test_small_case_worked_by_hand() -> None:
    # "aaab" holds the bigrams ^a, aa (twice), ab, b$. No count is 3, so the discounts are 0.5 for one and 1 for two.
    model = NgramModel.train(["aaab"], order=2)
    # Different symbols before a: ^ and a; before b: a; before the end: b. Kept back: (1 + 0.5 + 0.5) / 4.
    unigram = {"a": (2 - 1) / 4 + UNIFORM / 2, "b": (1 - 0.5) / 4 + UNIFORM / 2, "end": (1 - 0.5) / 4 + UNIFORM / 2}
    # After a stood a twice and b once: half of the mass, (1 + 0.5) / 3, is kept back. After ^ and b: 0.5 / 1.
    assert np.exp(-model.nats("aab")) == pytest.approx(
        [
            (1 - 0.5) / 1 + unigram["a"] / 2,
            (2 - 1) / 3 + unigram["a"] / 2,
            (1 - 0.5) / 3 + unigram["b"] / 2,
            (1 - 0.5) / 1 + unigram["end"] / 2,
        ],
        rel=1e-6,
    )
    # c was never seen: it costs every discount on the way, and after it stands the unigram itself.
    assert np.exp(-model.nats("ca")) == pytest.approx([UNIFORM / 4, unigram["a"], unigram["end"] / 2], rel=1e-6)


def test_discounts_are_those_of_chen_and_goodman() -> None:
    # Order 1: a, b, c and the end stand once, d and e twice, f three times, g four times: 15 in all.
    model = NgramModel.train(["abcddeefffgggg"], order=1)
    # Y = 4 / (4 + 2 · 2) = 0.5; D1 = 1 - 2 Y 2/4; D2 = 2 - 3 Y 1/2; D3+ = 3 - 4 Y 1/1.
    once, twice, more = 0.5, 1.25, 1.0
    kept_back = (4 * once + 2 * twice + 2 * more) / 15
    counts_less_discounts = {"a": 1 - once, "d": 2 - twice, "f": 3 - more, "g": 4 - more, "x": 0}
    for symbol, mass in counts_less_discounts.items():
        assert math.exp(-model.nats(symbol)[0]) == pytest.approx(mass / 15 + kept_back * UNIFORM, rel=1e-6)


def test_beginnings_keep_their_true_counts() -> None:
    # Order 3: "^a" extends only to "^^a", but four documents begin so.
    model = NgramModel.train(["ab", "ab", "ab", "ac"], order=3)
    # Before a, b and c stands one symbol each, before the end two.
    unigram_a = (1 - 0.5) / 5 + ((0.5 + 0.5 + 0.5 + 1) / 5) * UNIFORM
    bigram_a = (4 - 1.5) / 4 + 1.5 / 4 * unigram_a
    trigram_a = (4 - 1.5) / 4 + 1.5 / 4 * bigram_a
    assert math.exp(-model.nats("a")[0]) == pytest.approx(trigram_a, rel=1e-6)


def test_higher_orders_predict_real_text_better() -> None:
    figures = [bits_per_byte(NgramModel.train(TRAINING, order)) for order in (1, 2, 3, 4, 5)]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] < math.log2(257)


def test_training_text_is_cheaper_than_other_text(model: NgramModel) -> None:
    training_cost = np.concatenate([model.nats(text) for text in TRAINING]).mean()
    assert training_cost < bits_per_byte(model) * math.log(2)


@settings(deadline=None)
@given(st.one_of(st.text(), st.binary()))
def test_every_document_has_a_finite_cost_for_each_symbol_and_its_end(model: NgramModel, text: str | bytes) -> None:
    nats = model.nats(text)
    assert len(nats) == len(model.alphabet.symbols(text.encode() if isinstance(text, str) else text)) + 1
    assert np.isfinite(nats).all() and (nats >= 0).all()


def test_chinese_text_is_learnt_as_any_other() -> None:
    model = NgramModel.train(["千里之行,始于足下。" * 3, "不积跬步,无以至千里。"], order=7)
    assert model.nats("千里之行").mean() < model.nats("九层之台").mean() / 2


def test_probabilities_sum_to_one_over_characters_too() -> None:
    model = NgramModel.train(["床前明月光,疑是地上霜。", "举头望明月,低头思故乡。"] * 2, order=7)
    for context in ("", "床前明", "低头思故乡。", "望洋", "ab月"):
        assert distribution(model, context.encode()).sum() == pytest.approx(1, abs=1e-5)


def test_common_characters_are_one_symbol_and_others_their_bytes() -> None:
    alphabet = Alphabet.of(["月月月山山".encode(), b"plain"])
    assert alphabet.symbols("月山, 春".encode()).tolist() == [257, 258, *b", ", *"春".encode()]
    assert alphabet.symbols(b"\xff\xe6").tolist() == [0xFF, 0xE6]
    assert (alphabet.size, alphabet.bits) == (259, 9)


def test_text_of_many_characters_gets_wider_symbols_and_a_lower_order() -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
    model = NgramModel.train([characters, characters], order=7)
    assert (model.alphabet.size, model.alphabet.bits, model.order) == (2257, 12, 5)
    assert NgramModel.train([characters], order=3).order == 3
    english = NgramModel.train(["“quoted” – " * 3 + "plain text " * 200], order=7)
    assert (english.alphabet.size, english.order) == (260, 7)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1")), st.text("月山春é"))),
    st.text("月山春éa𠀀"),
)
def test_symbols_stand_for_the_text_and_nothing_else(texts: list[str], text: str) -> None:
    alphabet = Alphabet.of([one.encode(errors="replace") for one in texts])
    spelled = b"".join(
        bytes([symbol]) if symbol < END else chr(alphabet.characters[symbol - END - 1]).encode()
        for symbol in alphabet.symbols(text.encode()).tolist()
    )
    assert spelled == text.encode()


def test_long_document_costs_the_same_in_pieces(model: NgramModel) -> None:
    symbols = model.alphabet.symbols(("\n".join(TEXTS) * 4).encode())[: CHUNK + 1000]
    assert len(symbols) > CHUNK
    history, start = model.order - 1, CHUNK - 500
    assert model.symbol_nats(symbols)[start:] == pytest.approx(model.symbol_nats(symbols[start - history :])[history:])


def test_reads_up_to_the_limit_and_says_so() -> None:
    endless = (text for text in ["abcd"] * 1000)
    model = NgramModel.train(endless, order=3, limit=12)
    assert (model.bytes_read, model.documents_read, model.limit_reached) == (12, 3, True)
    assert len(list(endless)) == 997
    whole = NgramModel.train(["abcd"] * 3, order=3, limit=100)
    assert (whole.bytes_read, whole.documents_read, whole.limit_reached) == (15, 3, False)


def test_a_cut_document_has_no_end() -> None:
    assert list(take_bytes(["ab", "cdef", "gh"], 5)) == [(b"ab", True), (b"cd", False)]
    assert list(take_bytes(["ab", "cd"], 6)) == [(b"ab", True), (b"cd", True)]
    assert list(take_bytes(["ab", "cd"], 5)) == [(b"ab", True), (b"cd", False)]
    cut, whole = (NgramModel.train(["aa", "bc"], order=2, limit=limit) for limit in (5, 6))
    assert cut.nats("bc")[2] > whole.nats("bc")[2]


def test_bad_orders_and_empty_corpora_are_refused() -> None:
    for order in (0, 8):
        with pytest.raises(ModelError, match=f"order {order} .* from 1 to 7"):
            NgramModel.train(["text"], order)
    with pytest.raises(CorpusError, match="no text"):
        NgramModel.train([])
