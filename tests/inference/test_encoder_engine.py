"""The engine of models that read: each text gets what it gets alone, requests take turns, and what ends frees everything."""

import asyncio
import contextlib
from typing import Any

import pytest
import torch

from textmill.errors import GenerationError
from textmill.inference.embed import Vector, embed
from textmill.inference.encoder_engine import EncoderEngine, ReadingAnswer, Readings
from textmill.inference.engine import EngineFull
from textmill.inference.engine_thread import EngineStopped, EngineThread
from textmill.inference.fill import MaskedTokens, fill, masked_input
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import MASK, PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer


@pytest.fixture(scope="module")
def words(texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(vocabulary_size=512), texts, special=(PAD, MASK))


@pytest.fixture(params=["bert", "modernbert"])
def model(request: pytest.FixtureRequest, make_encoder):
    return make_encoder(request.param)


@pytest.fixture
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick reads a few texts, so that the smallest requests take several."""
    monkeypatch.setattr("textmill.inference.encoder_engine.PASS_TOKENS", 60)


def some_texts(texts: list[str], count: int, longest: int = 60) -> list[str]:
    """Of all lengths, in no order of them."""
    return [texts[n % len(texts)][n : n + 1 + (17 * n) % longest] for n in range(count)]


def vectors_of(words: Tokenizer, asked: list[str]) -> Readings:
    return Readings([words.encode_whole(text) for text in asked], Vector())


def run(engine: EncoderEngine) -> None:
    while engine.tick():
        pass
    assert engine.idle and engine.free_rows == engine.rows and engine.waiting_answers == 0


def found(answer: ReadingAnswer) -> list[Any]:
    assert answer.error is None and answer.deltas[-1].last and not any(delta.last for delta in list(answer.deltas)[:-1])
    results = {place: result for delta in answer.deltas for place, result in delta.results.items()}
    return [results[place] for place in range(len(results))]


def test_each_text_gets_what_it_gets_alone(model, words, texts, short_ticks) -> None:
    """Vectors and masked tokens, of requests that come at any time, are those of `embed` and `fill`."""
    engine = EncoderEngine(model)
    asked = [some_texts(texts, count) for count in (9, 1, 30, 4)]
    masked = [f"{text} {MASK} {text[:9]}{MASK}." for text in some_texts(texts, 7, 20)]
    answers = []
    for one in asked[:2]:
        answers.append(engine.submit(vectors_of(words, one)))
        engine.tick()
    filling = engine.submit(Readings([masked_input(words, text) for text in masked], MaskedTokens(words, 3)))
    answers += [engine.submit(vectors_of(words, one)) for one in asked[2:]]
    run(engine)
    for one, answer in zip(asked, answers, strict=True):
        alone = torch.stack([embed(model, words, [text])[0] for text in one])
        torch.testing.assert_close(torch.stack(found(answer)), alone, atol=1e-5, rtol=1e-5)
    for text, candidates in zip(masked, found(filling), strict=True):
        for ours, expected in zip(candidates, fill(model, words, text, top=3), strict=True):
            assert [one.token for one in ours] == [one.token for one in expected]
            assert [one.probability for one in ours] == pytest.approx([one.probability for one in expected], abs=1e-5)


def test_one_text_isnt_kept_waiting_by_many(make_encoder, words, texts, short_ticks) -> None:
    engine = EncoderEngine(make_encoder("bert"), rows=1)
    many = [engine.submit(vectors_of(words, some_texts(texts, 300))) for _ in range(3)]
    engine.tick()
    one = engine.submit(vectors_of(words, ["a class"]))
    ticks = 0
    while not one.finished:
        engine.tick()
        ticks += 1
    assert ticks <= len(many) + 1 and all(len(answer.unread) > 250 for answer in many)
    run(engine)
    assert all(len(found(answer)) == 300 for answer in many)


def test_a_tick_is_short_whatever_was_asked(make_encoder, words, texts, short_ticks, monkeypatch) -> None:
    """It has at most so many tokens, or one text."""
    model = make_encoder("bert")
    read, hidden = [], model.hidden
    monkeypatch.setattr(
        model, "hidden", lambda inputs, lengths: read.append(int(lengths.sum())) or hidden(inputs, lengths=lengths)
    )
    engine = EncoderEngine(model)
    for count in (40, 3, 20):
        engine.submit(vectors_of(words, some_texts(texts, count)))
    engine.submit(Readings([[5] * 64], Vector()))
    per_tick = []
    while engine.tick():
        per_tick.append(sum(read))
        read.clear()
    assert max(per_tick) == 64 and sorted(per_tick)[-2] <= 60 and len(per_tick) > 10


def test_cancelled_anywhere_frees_everything(model, words, texts, short_ticks) -> None:
    asked = [some_texts(texts, count) for count in (12, 5, 8)]
    for victim in range(3):
        for ticks in range(8):
            engine = EncoderEngine(model)
            answers = [engine.submit(vectors_of(words, one)) for one in asked]
            for _ in range(ticks):
                engine.tick()
            engine.cancel(answers[victim])
            engine.cancel(answers[victim])
            held = len(answers[victim].deltas)
            run(engine)
            assert len(answers[victim].deltas) == held, "nothing is read for who has left"
            assert all(len(found(answer)) == len(one) for n, (answer, one) in enumerate(zip(answers, asked)) if n != victim)


def test_the_queue_is_bounded(make_encoder, words) -> None:
    engine = EncoderEngine(make_encoder("bert"), rows=2, queue=3)
    answers = [engine.submit(vectors_of(words, ["a"])) for _ in range(5)]
    assert engine.free_rows == 0 and engine.waiting_answers == 3
    with pytest.raises(EngineFull, match="3 requests are waiting already"):
        engine.submit(vectors_of(words, ["a"]))
    engine.cancel(answers[1])
    assert engine.waiting_answers == 2
    engine.submit(vectors_of(words, ["a"]))
    run(engine)
    assert [len(found(answer)) for n, answer in enumerate(answers) if n != 1] == [1] * 4


def test_what_fails_fails_alone(model, words, texts) -> None:
    """Others whose texts pass through the model with it get theirs."""

    class Broken(Vector):
        def of(self, model, hidden, tokens):
            raise MemoryError("no room for it")

    engine = EncoderEngine(model)
    right = [engine.submit(vectors_of(words, some_texts(texts, 6))) for _ in range(2)]
    wrong = engine.submit(Readings([words.encode_whole("a class")] * 3, Broken()))
    run(engine)
    assert isinstance(wrong.error, MemoryError) and wrong.finished and not wrong.deltas
    for answer in right:
        torch.testing.assert_close(torch.stack(found(answer)), embed(model, words, some_texts(texts, 6)), atol=1e-5, rtol=1e-5)


def test_what_cant_be_read_is_told_together(make_encoder, make_decoder, words, tokenizer) -> None:
    engine = EncoderEngine(make_encoder("bert"))
    with pytest.raises(GenerationError) as caught:
        engine.submit(Readings([[5], [], [512], [5] * 65, [-1]], MaskedTokens(tokenizer, 1)))
    for problem, expected in zip(
        caught.value.problems,
        (
            "no mask among its tokens",
            "text 2 has no tokens",
            "text 3 has the token 512, and the model's tokens are from 0 to 511",
            "text 4 is 65 tokens long, and the model's context is 64",
            "text 5 has the token -1",
        ),
        strict=True,
    ):
        assert expected in problem
    with pytest.raises(GenerationError, match="no texts"):
        engine.submit(Readings([], Vector()))
    with pytest.raises(GenerationError, match="a decoder gives no vectors"):
        EncoderEngine(make_decoder()).submit(Readings([[5]], Vector()))
    with pytest.raises(GenerationError, match="found 0 and 4"):
        EncoderEngine(make_encoder("bert"), rows=0, queue=4)
    assert engine.idle


def test_many_users_of_one_thread(make_encoder, words, texts, short_ticks) -> None:
    """Each gets his own; who leaves, frees; who comes too late, hears of it."""
    model = make_encoder("modernbert")
    thread = EngineThread(EncoderEngine(model))

    async def results_of(asked: list[str]) -> torch.Tensor:
        results: dict[int, Any] = {}
        async for new in thread.stream(vectors_of(words, asked)):
            results |= new.results
        return torch.stack([results[place] for place in range(len(asked))])

    async def leave_early() -> None:
        async with contextlib.aclosing(thread.stream(vectors_of(words, some_texts(texts, 2000)))) as stream:
            await anext(stream)

    async def everybody() -> list[torch.Tensor]:
        counts = range(1, 20, 3)
        _, *vectors = await asyncio.gather(leave_early(), *(results_of(some_texts(texts, count)) for count in counts))
        while thread.open_answers:
            await asyncio.sleep(0)
        return vectors

    for vectors in asyncio.run(everybody()):
        torch.testing.assert_close(vectors, embed(model, words, some_texts(texts, len(vectors))), atol=1e-5, rtol=1e-5)

    async def ask_wrongly() -> None:
        await anext(thread.stream(Readings([["no token"]], Vector())))  # type: ignore[list-item]

    with pytest.raises(TypeError, match="between instances"):  # it ends that request alone
        asyncio.run(ask_wrongly())
    assert len(asyncio.run(results_of(["a"]))) == 1
    assert thread.alive(within_seconds=60) and thread.rows_in_use == thread.waiting_answers == thread.cache_bytes == 0
    thread.close()
    with pytest.raises(EngineStopped):
        asyncio.run(results_of(["a"]))
