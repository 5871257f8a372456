"""Which regular expressions are let through: those in use, and no others that take exponential time."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from textmill.errors import TokenizerError
from textmill.tokens.patterns import pattern_problem
from textmill.tokens.plain_encoding import without_panic
from textmill.tokens.splitting import CHARACTER, QWEN2, WORD

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
IN_USE = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "Llama-3": WORDS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "GPT-4o": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    + WORDS
    + r"?|\p{N}{1,3}|\s*[\r\n]+",
    "possessive": r"[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+(?!x)".replace("{1,3}+", "{1,3}"),
    "digits in threes": r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))",
    "classes cut": r"[\p{Han}]+|[\p{Lu}\p{M}&&[^\p{Han}]]*[\p{Ll}&&[^\p{Han}]]+",
    "one group": r"((?:'s|'t)|\p{L}+|\s+)",
    "textmill's words": WORD,
    "textmill's characters": CHARACTER,
    "Qwen2": QWEN2,
}


@pytest.mark.parametrize("pattern", IN_USE.values(), ids=IN_USE)
def test_patterns_in_use_are_let_through(pattern: str) -> None:
    assert pattern_problem(pattern) is None


atoms = st.sampled_from(["a", "[ab]", ".", r"\w", "(?=a)", "a{2}"])
quantifiers = st.sampled_from(["*", "+", "?", "*?", "{1,3}", "{2,}", "{,2}+", "{2}", "++", ""])


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.builds("{}{})".format, st.sampled_from(["(", "(?:", "(?>"]), inner)
    repeated = st.builds(str.__add__, groups | inner, quantifiers)
    return repeated | st.builds(str.__add__, inner, repeated) | st.builds("{}|{}".format, inner, inner)


@given(pattern=st.recursive(atoms, compound, max_leaves=6))
@example(pattern="(a+)+")
@settings(deadline=None, max_examples=200)
def test_what_is_let_through_never_tries_a_million_ways(pattern: str) -> None:
    """The matcher gives up after ten million steps. On forty characters only exponential patterns come there."""
    pattern = f"(?:{pattern})$"  # which fails at the end of each text below, after every way was tried
    if pattern_problem(pattern):
        return
    try:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
    except Exception:  # no regular expression at all, as the library says itself
        return
    for text in ("a" * 40 + "!", "ab" * 20 + "!"):
        try:
            without_panic(split.pre_tokenize_str, text)
        except TokenizerError as error:
            pytest.fail(f"{pattern}: {error}")


@given(st.text("()[]{}*+?|\\^-,ab12<>=!:i#&~R", max_size=40))
def test_any_text_is_judged(pattern: str) -> None:
    assert pattern_problem(pattern) is None or pattern_problem(pattern)
