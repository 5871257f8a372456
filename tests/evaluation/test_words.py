"""Words are found and counted in any script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.evaluation.words import count_words, word_spans, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" … — !", 0),
        ("Don't panic: it's only 42.", 5),
        ("‘quoted’ naïve cafe\u0301", 3),
        ("语言模型", 4),
        ("用GPT写2篇", 5),
        ("ひらがな カタカナ", 5),
        ("한국어 문장", 2),
        ("हिन्दी भाषा", 2),
        ("می\u200cخواهم", 1),
        ("ภาษา\u200bไทย", 2),
        ("\U00020000\U00020001", 2),
    ],
)
def test_words_of_many_scripts(text: str, words: int) -> None:
    assert count_words(text) == words


def test_words_are_what_stands_between_blanks_and_marks() -> None:
    assert words_of("‘Don’t’ panic, 'tis 北京 in हिन्दी' '") == ["Don't", "panic", "tis", "北", "京", "in", "हिन्दी"]


@given(
    st.text() | st.lists(st.sampled_from(["don’t", "'", "漢", "字", " ", "a\u00adb", "\u200b", "ภาษา", ".", "x"])).map("".join)
)
def test_spans_hold_the_words(text: str) -> None:
    assert [words_of(text[begin:end]) for begin, end in word_spans(text)] == [[word] for word in words_of(text)]
