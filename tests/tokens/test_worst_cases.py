"""Texts that are bad for tokenizers: the work grows as the text does, counted, not timed.

What is counted is the steps of the algorithms behind the library, from the runs that the text is really cut into. BPE puts
every pair of a run into a heap, and two more for each merge (tokenizers' `Word::merge_all`), of which a run of n bytes has
less than n: 3 n log n; Unigram tries pieces of at most 16 characters from each character;
WordPiece tries every end for every start. Runs of the last two are at most 256 characters long. The regular expression
passes over each run, and over each stretch of white space three times at most. How long it takes is shown by
bench/tokenizer.py.
"""

import math

import pytest

from textmill.tokens.splitting import LONGEST_RUN, independent_pieces
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import LONGEST_UNIGRAM

LENGTH = 20_000  # characters, and twice as many
PATTERNS = {
    "one letter": "a",
    "one word": "antidisestablishmentarianism",
    "spaces": " ",
    "line ends": "\n",
    "letters and a line end": "a" * 40 + "\n",
    "spaces and a line end": " " * 40 + "\n",
    "emoji joined": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "base64": "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24",
    "Chinese without marks": "我们学习中文模型语言文本没有空格很重要今天天气好",
    "brackets": "([{<",
    "marks": "e\u0301\u0302\u0303",
    "digits": "0123456789",
    "apostrophes": "'s't're",
}


def work(tokenizer: Tokenizer, text: str) -> float:
    """Steps of the algorithm: of the splitting, and of looking up the pieces of each run."""
    runs = [len(run) for run, _ in tokenizer._backend.pre_tokenizer.pre_tokenize_str(text)]
    steps = 3.0 * len(text)
    if tokenizer.kind in ("bpe", "byte"):  # the runs are spelled in one character a byte here
        assert sum(runs) == len(text.encode())
        return steps + sum(3 * length * math.log2(length + 2) for length in runs)
    assert max(runs) <= LONGEST_RUN
    if tokenizer.kind == "wordpiece":
        return steps + sum(length**2 / 2 for length in runs)
    return steps + (LONGEST_UNIGRAM if tokenizer.kind == "unigram" else 1) * len(text)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_twice_the_text_is_twice_the_work(tokenizer: Tokenizer, pattern: str) -> None:
    once = (pattern * (LENGTH // len(pattern) + 1))[:LENGTH]
    first, second = work(tokenizer, once), work(tokenizer, once + once)
    assert second <= 2.15 * first  # 2, and the logarithm of a run that is twice as long
    assert second <= 300 * 2 * LENGTH  # steps a character, whatever the text


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_it_comes_back_whole_in_one_piece_or_in_many(tokenizer: Tokenizer, pattern: str) -> None:
    text = pattern * (LENGTH // len(pattern))
    restored = tokenizer.decode(tokenizer.encode(text))
    assert len(restored.encode()) + tokenizer.lost_bytes(text) == len(text.encode())
    pieces = list(independent_pieces(text, 1000))
    assert [id for ids in tokenizer.encode_batch(pieces) for id in ids] == tokenizer.encode(text)
