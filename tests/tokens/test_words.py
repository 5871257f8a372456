"""Words and tokens find each other in every tokenizer; windows label each word once, where most is seen of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import textmill
from textmill.formats.sources import model_path
from textmill.tokens.settings import Kind, TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer
from textmill.tokens.words import NO_TOKEN, joined, split_words, tokens_of_words, windows

SENTENCES = [
    ["Zoë", "met", "@al", "in", "New-York", "!"],
    ["x"],
    ["1", "9", "6", "3", "年", "，", "北", "京"],
    ["a\u00a0b", "don't"],
]


@pytest.fixture(scope="module", params=["bpe", "byte", "character", "wordpiece", "unigram", "word"])
def any_tokenizer(request: pytest.FixtureRequest, texts: list[str]) -> Tokenizer:
    kind: Kind = request.param
    return train_tokenizer(TokenizerSettings(kind=kind, vocabulary_size=300), [*texts[:20], *map(" ".join, SENTENCES * 5)])


@pytest.mark.parametrize("characters", [False, True])
def test_each_word_has_its_first_token(any_tokenizer: Tokenizer, characters: bool) -> None:
    """From a word's first token to the next one's the tokens spell the word; also where words are joined without spaces, no
    token spells two of them."""
    for words, found in zip(SENTENCES, tokens_of_words(any_tokenizer, SENTENCES, characters), strict=True):
        assert NO_TOKEN not in found.firsts
        assert found.firsts == sorted(set(found.firsts))
        ends = [*found.firsts[1:], len(found.tokens)]
        known = any_tokenizer.unknown_id is None
        for word, first, end in zip(words, found.firsts, ends, strict=True):
            own = found.tokens[first:end]
            if known or any_tokenizer.unknown_id not in own:
                assert any_tokenizer.decode(own).strip() == word
        if not characters:
            assert found.tokens == any_tokenizer.encode(joined(words)[0])


def test_a_word_without_tokens_is_known_as_one() -> None:
    """BERT's tokenizer drops what can't be seen."""
    tokenizer = textmill.load(model_path("sample:minilm")).tokenizer
    (found,) = tokens_of_words(tokenizer, [["\u200b", "London", "\u200d", "is"]])
    assert [first == NO_TOKEN for first in found.firsts] == [True, False, True, False]
    assert len(found.tokens) == 2


@pytest.mark.parametrize(
    ("text", "characters", "words"),
    [
        ("@al didn't go to 北京, #now!", False, ["@al", "didn't", "go", "to", "北", "京", ",", "#now", "!"]),
        ("1963年 出生", True, ["1", "9", "6", "3", "年", "出", "生"]),
        ("", False, []),
    ],
)
def test_words_of_a_text(text: str, characters: bool, words: list[str]) -> None:
    assert [text[begin:end] for begin, end in split_words(text, characters)] == words


@given(st.lists(st.integers(1, 6), min_size=1, max_size=40), st.integers(1, 12))
def test_windows_label_each_word_once(sizes: list[int], room: int) -> None:
    found = windows(sizes, room)
    assert [word for window in found for word in range(window.told_from, window.told_to)] == list(range(len(sizes)))
    for window in found:
        assert window.begin <= window.told_from and window.told_to <= window.end
        assert sum(sizes[window.begin : window.end]) <= room or window.end == window.begin + 1
    assert (len(found) == 1) == (sum(sizes) <= room or len(sizes) == 1)


def test_windows_overlap_by_half() -> None:
    assert [(w.begin, w.end, w.told_from, w.told_to) for w in windows([1] * 10, 4)] == [
        (0, 4, 0, 3), (2, 6, 3, 5), (4, 8, 5, 7), (6, 10, 7, 10),
    ]  # fmt: skip
