"""Guessing: what is guessed has stood there before; how many guesses are made follows from what they cost and bring."""

import pytest

from textmill.inference.engine import Engine
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling
from textmill.inference.speculation import LONGEST, Guesser, Luck, PassCost


def test_what_followed_before_is_guessed() -> None:
    guesser = Guesser()
    assert guesser.guess([1, 2, 3, 4, 5], 3) == []
    assert guesser.guess([1, 2, 3, 4, 5, 9, 2, 3], 3) == [4, 5, 9]
    assert guesser.guess([1, 2, 3, 4, 5, 9, 2, 3, 7, 8, 2, 3], 2) == [7, 8]  # the last time counts
    longer = Guesser()
    # … but more tokens in common count more.
    assert longer.guess([1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3], 1) == [4]
    assert Guesser().guess([], 3) == Guesser().guess([5], 3) == []


def test_luck_follows_what_was_right_and_hope_returns() -> None:
    luck = Luck()
    for _ in range(40):
        luck.learn(guessed=4, right=0)
    assert luck.share < 0.05
    for _ in range(200):
        luck.learn(guessed=0, right=0)
    assert luck.share == pytest.approx(0.5, abs=0.02)
    for _ in range(40):
        luck.learn(guessed=4, right=4)
    assert luck.share > 0.95
    luck.count([4, 5, 6], 4)
    luck.count([5, 6], 7)
    assert (luck.right, luck.wrong) == (1, 2)


def test_cost_is_the_line_through_what_was_measured() -> None:
    cost = PassCost()
    for number in range(200):
        tokens = 1 + number % 5
        cost.measure(tokens, 0.010 + 0.002 * tokens)
    assert cost.per_token == pytest.approx(0.002, rel=0.01) and cost.base == pytest.approx(0.010, rel=0.01)


@pytest.mark.parametrize(
    ("base", "per_token", "rows", "luck", "expected"),
    [
        (0.010, 0.0005, 1, 0.9, LONGEST),  # a pass costs twenty tokens: guess on
        (0.010, 0.0005, 1, 0.5, 4),
        (0.010, 0.0005, 16, 0.9, 7),  # many share the pass already
        (0.010, 0.0005, 16, 0.3, 0),
        (0.0, 0.010, 1, 0.99, 0),  # nothing is shared: a guess can save nothing
        (0.010, 0.0005, 1, 0.0, 0),
    ],
)
def test_as_many_guesses_as_pay(base: float, per_token: float, rows: int, luck: float, expected: int) -> None:
    cost = PassCost()
    assert cost.worth(rows, luck) == 0  # nothing is known yet
    for tokens in range(1, 200):
        cost.measure(tokens % 7 + 1, base + per_token * (tokens % 7 + 1))
    assert cost.worth(rows, luck) == expected
    assert cost.worth(rows, luck, guessing=1.0) == 0  # a draft model that is slower than the pass


def test_nothing_is_guessed_while_a_prompt_is_read(make_decoder, tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of a prompt is of use for certain: someone waits for the first token."""
    monkeypatch.setattr(PassCost, "worth", lambda self, rows, luck, guessing=0.0: 5)
    monkeypatch.setattr(Guesser, "guess", lambda self, tokens, most: [7] * most)
    engine = Engine(make_decoder(vocabulary_size=tokenizer.vocabulary_size), tokenizer)
    writing = engine.submit(Request((5, 6), Sampling(temperature=0), max_tokens=40))
    engine.tick()
    monkeypatch.setattr("textmill.inference.engine.MOST_CHUNK", 16)
    reading, tried = engine.submit(Request(tuple([5] * 40), max_tokens=2)), list[int]()
    for _ in range(4):
        before = len(writing.writing.tokens), writing.guesser.wrong + writing.guesser.right
        engine.tick()
        tried.append(writing.guesser.wrong + writing.guesser.right - before[1])
        assert tried[-1] or len(writing.writing.tokens) == before[0] + 1
    assert tried[:3] == [0, 0, 0] and tried[3] > 0 and reading.deltas
