"""The prefix cache: restored is as good as read; nobody finds another's; and it takes no more than it may."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from textmill.inference.answer import Answer
from textmill.inference.engine import Engine
from textmill.inference.prefix_cache import BLOCK, Chain, PrefixCache
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling
from textmill.models.slots import KeyValueSlots

LONG = tuple(range(5, 5 + 3 * BLOCK))
GREEDY = Sampling(temperature=0)


@pytest.fixture(params=["decoder", "lstm"])
def model(request: pytest.FixtureRequest, make_decoder, make_recurrent):
    if request.param == "lstm":
        return make_recurrent(vocabulary_size=512)
    return make_decoder(vocabulary_size=512, context_length=256)


def answered(engine: Engine, *prompt: int, salt: str = "", max_tokens: int = 8) -> Answer:
    answer = engine.submit(Request(tuple(prompt), GREEDY, max_tokens=max_tokens, salt=salt))
    while engine.tick():
        pass
    return answer


def test_cached_is_uncached(model, tokenizer) -> None:
    engine = Engine(model, tokenizer)
    fresh = answered(Engine(model, tokenizer), *LONG, 9, 8)
    assert answered(engine, *LONG, 7).cached == 0
    again = answered(engine, *LONG, 9, 8)
    assert again.cached == 3 * BLOCK and again.deltas[-1].cached == 3 * BLOCK
    assert again.writing.tokens == fresh.writing.tokens
    # One token is always left, whose state picks the first of the answer; and one that differs ends what is known.
    assert answered(engine, *LONG).cached == 2 * BLOCK
    assert answered(engine, *LONG[:40], 0, *LONG[41:], 3).cached == BLOCK
    assert answered(engine, 0, *LONG[1:], 3).cached == 0


def test_a_conversation_that_goes_on_knows_its_answers(make_decoder, tokenizer) -> None:
    engine = Engine(make_decoder(vocabulary_size=512, context_length=256), tokenizer)
    first = answered(engine, *LONG[:20], max_tokens=50)
    known = len(first.read) - 1  # the last token was written, and never read
    assert answered(engine, *first.read, 6, 7).cached == known - known % BLOCK


def test_nobody_finds_what_another_has_asked(model, tokenizer) -> None:
    engine = Engine(model, tokenizer)
    assert answered(engine, *LONG, 7, salt="one").cached == 0
    assert answered(engine, *LONG, 7, salt="two").cached == 0
    assert answered(engine, *LONG, 7).cached == 0
    assert answered(engine, *LONG, 7, salt="one").cached == 3 * BLOCK


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 90)), min_size=1, max_size=20), st.integers(0, 6))
def test_it_takes_no_more_than_it_may(asked: list[tuple[int, int]], blocks: int) -> None:
    """Whatever is kept and found, in any order: what it counts is what it holds, and that is within its budget."""
    slots = KeyValueSlots(1, 2, 1, 8, 96, torch.float32, "cpu")
    block_bytes = 2 * BLOCK * 8 * 4
    cache = PrefixCache(slots, blocks * block_bytes)
    for first, length in asked:
        tokens = [first, *range(length)]
        chain = Chain("")
        restored = cache.restore(0, tokens, chain)
        assert restored % BLOCK == 0 and restored < len(tokens)
        cache.keep(0, tokens, len(tokens), chain)
        assert cache.bytes == len(cache) * block_bytes <= cache.memory


def test_a_text_that_is_read_in_pieces_has_the_keys_of_the_whole_each_made_once() -> None:
    tokens = list(range(10 * BLOCK + 5))
    whole, chain, made = list(Chain("a").follow(tokens, len(tokens))), Chain("a"), []
    for length in [0, 7, BLOCK, BLOCK + 1, 4 * BLOCK - 1, 4 * BLOCK, 9 * BLOCK + 3, len(tokens), len(tokens)]:
        made += list(chain.follow(tokens, length))
    assert made == whole and len(whole) == 10
    assert whole[0] != next(Chain("b").follow(tokens, BLOCK))  # who asks is part of it
