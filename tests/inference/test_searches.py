"""Beam search in the engine: it finds what the search alone finds, and those who are answered beside it lose nothing."""

import gc
import weakref
from typing import Any

import pytest
import torch

from textmill.errors import GenerationError
from textmill.inference.answer import Answer
from textmill.inference.beam import BeamSearch, Hypothesis, beam_search
from textmill.inference.engine import Engine, EngineFull
from textmill.inference.generate import start_of_target, unwritable
from textmill.inference.grammar import Grammars, Rule
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling
from textmill.inference.searches import MOST_READ
from textmill.models.count import state_bytes
from textmill.models.recurrent_state import RecurrentState

SEARCH, LONG = BeamSearch(beams=3, length_penalty=1.5), BeamSearch(beams=3, length_penalty=5.0)
DRAWN = Sampling(temperature=1.0, seed=5)


@pytest.fixture(params=["decoder", "window", "lstm", "marian"])
def model(request: pytest.FixtureRequest, make_decoder, make_recurrent, make_encoder_decoder, tokenizer):
    """A model of each family, whose answers end now and then."""
    size = {"vocabulary_size": tokenizer.vocabulary_size}
    match request.param:
        case "decoder":
            model = make_decoder(**size)
        case "window":
            model = make_decoder(**size, windows=(0, 6, 6))
        case "lstm":
            model = make_recurrent(**size)
        case _:
            model = make_encoder_decoder("marian", **size, decoder_start="last")
    with torch.no_grad():
        model.head.weight[tokenizer.eos_id] *= 3.0
    return model


def prompts_of(tokenizer) -> list[tuple[int, ...]]:
    """A short one, and one that is longer than what one step reads."""
    long = tokenizer.encode("the list of names that a class statement binds, and what " * 3)[: MOST_READ + 13]
    return [tuple(tokenizer.encode("The class")), tuple(long)]


def found_alone(model, tokenizer, prompt: tuple[int, ...], search: BeamSearch, max_tokens: int) -> list[Hypothesis]:
    """What the search finds that reads the prompt at once, beside nothing."""
    if model.family == "encoder-decoder":
        state, read = model.encode(torch.tensor([prompt])), [start_of_target(model, tokenizer)]
    else:
        state, read = model.new_state(1), list(prompt)
    forbidden = unwritable(model, tokenizer)
    return beam_search(model, state, torch.tensor([read]), search, max_tokens, tokenizer.end_ids, forbidden)[0]


def run(engine: Engine) -> None:
    while engine.tick():
        pass
    assert engine.idle and engine.free_rows == engine.slots.capacity and not len(engine.searches)


def written(answer: Answer, tokenizer) -> list[int]:
    """Its tokens without the one that ended it."""
    return [token for token in answer.writing.tokens if token not in tokenizer.end_ids]


def test_the_engine_finds_what_the_search_alone_finds(model, tokenizer) -> None:
    """While others are being written, who are as they would be alone."""
    alone = Engine(model, tokenizer, rows=3)
    others = [Request(prompt, DRAWN, max_tokens=30) for prompt in prompts_of(tokenizer)]
    expected = [alone.submit(other) for other in others]
    run(alone)
    engine = Engine(model, tokenizer, rows=3)
    beside = [engine.submit(other) for other in others]
    engine.tick()
    answers = [
        [engine.submit(Request(prompt, max_tokens=12, beams=SEARCH, rank=rank)) for rank in range(3)]
        for prompt in prompts_of(tokenizer)
    ]
    assert len(engine.searches) == 2 and engine.searches.waiting == 3
    run(engine)
    assert [answer.writing.tokens for answer in beside] == [answer.writing.tokens for answer in expected]
    for prompt, ranked in zip(prompts_of(tokenizer), answers):
        found = found_alone(model, tokenizer, prompt, SEARCH, 12)
        assert max(len(hypothesis.tokens) for hypothesis in found) > 3
        assert [written(answer, tokenizer) for answer in ranked] == [hypothesis.tokens for hypothesis in found]
        for answer, hypothesis in zip(ranked, found):
            [delta] = answer.deltas
            ended = len(hypothesis.tokens) < 12
            assert delta.finish_reason == ("end" if ended else "length")
            assert delta.tokens == len(hypothesis.tokens) + ended
            assert tokenizer.decode(hypothesis.tokens).startswith(delta.text)


def test_some_answers_end_and_others_are_cut(make_decoder, tokenizer) -> None:
    """So that the test above has met both; and the model's context ends one too."""
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    with torch.no_grad():
        model.head.weight[tokenizer.eos_id] *= 3.0
    engine = Engine(model, tokenizer)
    requests = [Request((token,), max_tokens=6, beams=SEARCH, rank=rank) for token in range(20, 30) for rank in range(3)]
    requests.append(Request(tuple([5] * 60), max_tokens=20, beams=BeamSearch(1)))
    answers = [engine.submit(request) for request in requests]
    run(engine)
    assert {answer.deltas[-1].finish_reason for answer in answers} == {"end", "length", "context"}


def test_answers_that_differ_in_their_rank_alone_share_a_search(make_recurrent, tokenizer) -> None:
    engine = Engine(make_recurrent(vocabulary_size=512), tokenizer)
    one = Request((5,), max_tokens=4, beams=SEARCH)
    for request in (one, Request((5,), max_tokens=4, beams=SEARCH, rank=2)):
        engine.submit(request)
    assert len(engine.searches) == 1
    engine.submit(one)  # asked for again, so that no search has more answers than beams
    engine.submit(Request((5,), max_tokens=4, beams=SEARCH, rank=1, salt="another"))
    engine.submit(Request((5,), max_tokens=4, beams=BeamSearch(4), rank=3))
    assert len(engine.searches) == 4 and engine.waiting_answers == 3
    run(engine)


def test_what_is_cancelled_is_gone_wherever_it_was(model, tokenizer) -> None:
    """Before its turn, while its prompt is read, between two tokens; with it goes what its search held."""
    prompt = prompts_of(tokenizer)[1]
    for ticks in (0, 1, 5):
        engine = Engine(model, tokenizer)
        first, second = (engine.submit(Request(prompt, max_tokens=12, beams=LONG, rank=rank)) for rank in (0, 1))
        last = engine.submit(Request(prompt[:9], max_tokens=5, beams=LONG))
        for _ in range(ticks):
            engine.tick()
        search = weakref.ref(engine.searches._searches[0])
        engine.cancel(first)
        engine.tick()
        assert search() is not None  # somebody still wants it
        engine.cancel(second)
        engine.cancel(second)
        gc.collect()
        assert search() is None and len(engine.searches) == 1
        run(engine)
        assert not first.deltas and not second.deltas
        assert written(last, tokenizer) == found_alone(model, tokenizer, prompt[:9], LONG, 5)[0].tokens


def test_a_search_fails_alone(model, tokenizer) -> None:
    prompt = prompts_of(tokenizer)[0]
    engine = Engine(model, tokenizer)
    broken = [engine.submit(Request(prompt, max_tokens=5, beams=SEARCH, rank=rank)) for rank in range(2)]
    others = [engine.submit(Request(prompt, max_tokens=6, beams=SEARCH)), engine.submit(Request(prompt, DRAWN, max_tokens=5))]
    error = RuntimeError("out of order")

    def refuse(token: int) -> None:
        raise error

    broken[0].writing.push = refuse  # type: ignore[assignment, method-assign]
    run(engine)
    assert [answer.error for answer in broken] == [error, error] and not any(answer.deltas for answer in broken)
    assert all(answer.error is None and answer.deltas[-1].finish_reason for answer in others)


def bytes_of(state: Any) -> int:
    """What a generation state holds."""
    if isinstance(state, RecurrentState):
        return state.values.nbytes
    memory = [part for pair in getattr(state, "memory", ()) for part in pair]
    return sum(buffer.nbytes for buffer in (*state._keys, *state._values, *memory))


def test_a_search_takes_no_more_memory_than_it_may(model, tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted holds all that its states take while beams are chosen; what doesn't fit is refused with both numbers."""
    request = Request(tuple([5] * 20), max_tokens=10, beams=LONG)
    length = 20 if model.family == "encoder-decoder" else 30
    needed = 2 * LONG.beams * state_bytes(model.config, length)
    with pytest.raises(GenerationError, match=f"takes {needed:,} bytes at worst, and there are {needed - 1:,} for it"):
        Engine(model, tokenizer, rows=1, memory=4 * needed - 1).submit(request)
    engine = Engine(model, tokenizer, rows=1, memory=4 * needed)
    engine.submit(request)
    state = model.encode(torch.tensor([[5]])) if model.family == "encoder-decoder" else model.new_state(1)
    taken, select = [], type(state).select

    def measured(self: Any, rows: torch.Tensor) -> Any:
        chosen = select(self, rows)
        taken.append(bytes_of(self) + bytes_of(chosen))
        return chosen

    monkeypatch.setattr(type(state), "select", measured)
    run(engine)
    assert len(taken) > 1 and needed / 2 < max(taken) <= needed


def test_what_cant_be_looked_for_is_said(make_decoder, tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    engine = Engine(model, tokenizer, rows=1, queue=2)
    grammar = Grammars(tokenizer).compiled(Rule("regex", "[ab]{3}"))
    for given, words in [
        ({"sampling": DRAWN, "stop": ("a",), "logprobs": 1}, "leave out sampling and stop and logprobs"),
        ({"grammar": grammar}, "leave out grammar"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, found 0"),
    ]:
        with pytest.raises(GenerationError, match=words):
            engine.submit(Request((5,), beams=SEARCH, **given))
    with pytest.raises(GenerationError, match="rank must be from 0 to 2, since 3 are looked for; found 3"):
        Request((5,), beams=SEARCH, rank=3)
    with pytest.raises(GenerationError, match="rank must be from 0 to 0"):
        Request((5,), rank=1)
    with pytest.raises(GenerationError, match="length_penalty must be from -5 to 5, found nan"):
        BeamSearch(length_penalty=float("nan"))
    for token in (5, 6, 7):  # one under way, and two that wait
        engine.submit(Request((token,), max_tokens=3, beams=SEARCH))
    for request in (Request((8,), beams=SEARCH), Request((8,))):
        with pytest.raises(EngineFull, match="2 answers are waiting"):
            engine.submit(request)
    run(engine)
