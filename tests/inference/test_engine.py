"""The engine: each answer is that of its request run alone, whatever else is in the batch; what ends frees its row."""

import asyncio
import contextlib

import pytest
import torch

from textmill.errors import GenerationError
from textmill.inference.answer import Answer
from textmill.inference.draft_model import DraftModel
from textmill.inference.engine import Engine, EngineFull
from textmill.inference.engine_thread import EngineThread
from textmill.inference.generate import generate, unwritable
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling, pick
from textmill.inference.speculation import Guesser, PassCost
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.training import train_tokenizer

from ..kernels import NATIVE

GREEDY = Sampling(temperature=0)
PROMPTS = ["The class", "", "a", "Statements are", "If the expression is a list, then it is"]


@pytest.fixture(params=["decoder", "kernels", "window", "alibi", "gpt2", "lstm", "marian"])
def model(request: pytest.FixtureRequest, make_decoder, make_recurrent, make_encoder_decoder, tokenizer):
    """A model of each family, and of each way that a decoder tells positions."""
    size = {"vocabulary_size": tokenizer.vocabulary_size}
    match request.param:
        case "decoder":
            return make_decoder(**size)
        case "kernels":  # a shape that they can read
            return make_decoder(**size, **NATIVE)
        case "window":
            return make_decoder(**size, windows=(0, 6, 6))
        case "alibi":
            return make_decoder(**size, positions="alibi")
        case "gpt2":
            return make_decoder(**size, positions="learned", norm="layer", norm_bias=True)
        case "lstm":
            return make_recurrent(**size)
    return make_encoder_decoder("marian", **size, decoder_start="last")


@pytest.fixture(params=["as it pays", "always"])
def guessing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Guesses are made where they pay, or always, and rows are read in groups likewise; nothing but the time may tell."""
    if request.param == "always":
        monkeypatch.setattr("textmill.inference.passes.GROUP_COST", 0)
        monkeypatch.setattr(PassCost, "worth", lambda self, rows, luck, guessing=0.0: 5)
    return request.param == "always"


def requests_of(model, tokenizer, sampling: Sampling, **more) -> list[Request]:
    encode = tokenizer.encode_whole if model.family == "encoder-decoder" else tokenizer.encode_beginning
    return [Request(tuple(encode(prompt)), sampling, max_tokens=12 + 3 * n, **more) for n, prompt in enumerate(PROMPTS)]


def run(engine: Engine) -> None:
    while engine.tick():
        pass
    assert engine.idle and engine.free_rows == engine.slots.capacity


def next_logits(model, tokenizer, answer: Answer, written: int) -> torch.Tensor:
    """Logits of the token behind `written` ones, by one pass over everything: no state, no batch, no chunk."""
    begun = answer.read[: len(answer.read) - len(answer.writing.tokens)]
    inputs = torch.tensor([[*begun, *answer.writing.tokens[:written]]])
    source = {"source": torch.tensor([answer.request.prompt])} if model.family == "encoder-decoder" else {}
    with torch.no_grad():
        return model.head(model.hidden(inputs, **source)[0, -1]).float()


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(temperature=1.0, top_k=40, seed=5, repetition_penalty=1.1, frequency_penalty=2.0)]
)
def test_answers_in_a_batch_are_those_of_the_model_alone(model, tokenizer, guessing: bool, sampling: Sampling) -> None:
    """Prompts and answers of unlike lengths, more of them than rows: each token is the one that a pass over all before it
    gives, but for near-ties."""
    engine = Engine(model, tokenizer, rows=3)
    answers = [engine.submit(request) for request in requests_of(model, tokenizer, sampling)]
    run(engine)
    forbidden = sorted(unwritable(model, tokenizer))
    tokens = near = 0
    for answer in answers:
        begun = len(answer.read) - len(answer.writing.tokens)
        for written, token in enumerate(answer.writing.tokens):
            logits = next_logits(model, tokenizer, answer, written)
            logits[forbidden] = -torch.inf
            near += pick(logits, answer.read[: begun + written], sampling, written, answer.writing.tokens[:written]) != token
            tokens += 1
    right, wrong = (sum(getattr(answer.guesser, name) for answer in answers) for name in ("right", "wrong"))
    print(f"{near} near-ties among {tokens} tokens; {right} guesses right, {wrong} wrong")
    assert tokens > 40 and near <= tokens / 100


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, seed=5)])
def test_right_and_wrong_guesses_leave_the_answer_as_it_is(
    model, tokenizer, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    """Guesses that are right for some tokens, and then, every other time, are not."""
    plain = Engine(model, tokenizer, rows=3)
    expected = [plain.submit(request) for request in requests_of(model, tokenizer, sampling)]
    run(plain)

    def partly_right(self: Guesser, tokens: list[int], most: int) -> list[int]:
        [known] = [answer.read for answer in expected if answer.read[: len(tokens)] == tokens][:1] or [[]]
        guess = known[len(tokens) : len(tokens) + min(most, 1 + len(tokens) % 4)]
        return [*guess[:-1], (guess[-1] + 1) % 512] if guess and len(tokens) % 2 else guess

    monkeypatch.setattr(PassCost, "worth", lambda self, rows, luck, guessing=0.0: 5)
    monkeypatch.setattr(Guesser, "guess", partly_right)
    engine = Engine(model, tokenizer, rows=3)
    answers = [engine.submit(request) for request in requests_of(model, tokenizer, sampling)]
    run(engine)
    assert [answer.writing.tokens for answer in answers] == [answer.writing.tokens for answer in expected]
    right, wrong = (sum(getattr(answer.guesser, name) for answer in answers) for name in ("right", "wrong"))
    assert (right > 10 and wrong > 3) == engine.slots.keeps_past
    assert [answer.deltas[-1].right for answer in answers] == [answer.guesser.right for answer in answers]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, top_k=5, seed=5)])
def test_a_draft_model_leaves_the_answer_as_it_is(
    make_decoder, tokenizer, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    """One that knows all, and one that knows nothing; both look back over less than the answers have."""
    monkeypatch.setattr(PassCost, "worth", lambda self, rows, luck, guessing=0.0: 4)
    monkeypatch.setattr(Guesser, "guess", lambda self, tokens, most: [])
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    for same in (True, False):
        drafting = model if same else make_decoder(vocabulary_size=600, layers=1, width=32)
        draft = DraftModel(drafting, tokenizer, tokenizer, rows=3)
        plain, engine = Engine(model, tokenizer, rows=3), Engine(model, tokenizer, rows=3, draft=draft)
        expected = [plain.submit(request) for request in requests_of(model, tokenizer, sampling)]
        answers = [engine.submit(request) for request in requests_of(model, tokenizer, sampling)]
        run(plain)
        run(engine)
        assert [answer.writing.tokens for answer in answers] == [answer.writing.tokens for answer in expected]
        right, wrong = (sum(getattr(answer.guesser, name) for answer in answers) for name in ("right", "wrong"))
        assert right > 20 if same else wrong > 20
        assert all(len(read) <= 3 * draft.window for read in draft._read)


def test_a_draft_model_that_fails_guesses_no_more(make_decoder, tokenizer, monkeypatch, caplog) -> None:
    monkeypatch.setattr(PassCost, "worth", lambda self, rows, luck, guessing=0.0: 4)
    monkeypatch.setattr(Guesser, "guess", lambda self, tokens, most: [])
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    engine = Engine(model, tokenizer, draft=(draft := DraftModel(make_decoder(vocabulary_size=600), tokenizer, tokenizer, 16)))
    answer = engine.submit(Request((5, 6), GREEDY, max_tokens=20))
    for _ in range(3):
        engine.tick()
    monkeypatch.setattr(draft.model, "hidden", None)
    run(engine)
    assert answer.error is None and len(answer.writing.tokens) == 20
    assert [record.message for record in caplog.records] == ["the draft model failed, and guesses no more"]


def test_a_draft_model_that_cant_be_one(make_decoder, make_recurrent, tokenizer, texts: list[str]) -> None:
    other = train_tokenizer(TokenizerSettings(vocabulary_size=300), texts)
    with pytest.raises(GenerationError, match="tokenizer is another"):
        DraftModel(make_decoder(), other, tokenizer, rows=1)
    with pytest.raises(GenerationError, match="give a decoder"):
        DraftModel(make_recurrent(), tokenizer, tokenizer, rows=1)


def test_texts_and_ends_are_those_of_generate(model, tokenizer, guessing: bool) -> None:
    engine = Engine(model, tokenizer, rows=2)
    stop = ("e", "un")
    answers = [engine.submit(request) for request in requests_of(model, tokenizer, GREEDY, stop=stop)]
    run(engine)
    for n, (prompt, answer) in enumerate(zip(PROMPTS, answers)):
        pieces = list(generate(model, tokenizer, prompt, GREEDY, max_tokens=12 + 3 * n, stop=stop))
        text = "".join(piece.text for piece in pieces)
        # A first space belongs to the answer where it goes on from a text, which a request says, and these don't.
        assert "".join(delta.text for delta in answer.deltas).lstrip(" ") == text.lstrip(" ")
        assert answer.deltas[-1].finish_reason == pieces[-1].finish_reason
        assert all(delta.finish_reason is None for delta in list(answer.deltas)[:-1])


def test_logprobs_are_the_training_forward_s(model, tokenizer, guessing: bool) -> None:
    engine = Engine(model, tokenizer)
    answers = [engine.submit(request) for request in requests_of(model, tokenizer, GREEDY, logprobs=3)]
    run(engine)
    for answer in answers:
        for written, told in enumerate([told for delta in answer.deltas for told in delta.logprobs]):
            expected = next_logits(model, tokenizer, answer, written).log_softmax(dim=-1)
            assert told.token == answer.writing.tokens[written]
            assert told.logprob == pytest.approx(float(expected[told.token]), abs=1e-4)
            assert [value for _, value in told.alternatives] == pytest.approx(expected.topk(3).values.tolist(), abs=1e-4)


def test_a_prompt_in_chunks_is_read_as_the_whole(
    make_decoder, make_recurrent, tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another answer is being written, a long prompt is read bit by bit; its answer is the same."""
    for model in (make_decoder(vocabulary_size=512), make_recurrent(vocabulary_size=512)):
        prompt = tuple(tokenizer.encode("the list of names that a class statement binds, and what " * 3)[:45])
        alone = Engine(model, tokenizer)
        expected = alone.submit(Request(prompt, GREEDY, max_tokens=10))
        run(alone)
        engine = Engine(model, tokenizer)
        engine.submit(Request((5, 6), Sampling(temperature=1.0), max_tokens=40))
        engine.tick()
        with monkeypatch.context() as patch:
            patch.setattr("textmill.inference.engine.MOST_CHUNK", 16)
            chunked = engine.submit(Request(prompt, GREEDY, max_tokens=10))
            engine.tick()
            assert chunked.length == 16
            run(engine)
        assert chunked.writing.tokens == expected.writing.tokens


def test_what_is_cancelled_is_gone_wherever_it_was(model, tokenizer) -> None:
    engine = Engine(model, tokenizer, rows=2)
    answers = [engine.submit(request) for request in requests_of(model, tokenizer, GREEDY)]
    alone = Engine(model, tokenizer)
    expected = alone.submit(answers[1].request)
    run(alone)
    engine.tick()
    engine.tick()
    engine.cancel(answers[0])  # has a row before answer 1's
    engine.cancel(answers[3])  # waits
    engine.cancel(answers[3])
    run(engine)
    assert list(answers[1].deltas)[-1].finish_reason == expected.deltas[-1].finish_reason
    assert answers[1].writing.tokens == expected.writing.tokens
    assert len(answers[0].writing.tokens) <= 2 and not answers[3].deltas


def test_what_cant_be_served_is_said(make_decoder, make_encoder, tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    engine = Engine(model, tokenizer, rows=1, queue=2)
    for request, words in [
        (Request(()), "no tokens"),
        (Request(tuple([5] * 64)), "64 tokens long"),
        (Request((5,), max_tokens=0), "max_tokens must be at least 1, found 0"),
        (Request((5,), stop=("",)), "empty"),
        (Request((5,), logprobs=21), "from 0 to 20, found 21"),
        (Request((-1,)), "from 0 to"),
        (Request((10**6,)), "from 0 to"),
        (Request((5,), Sampling(logit_bias=((10**6, 1.0),))), "found 1000000"),
    ]:
        with pytest.raises(GenerationError, match=words):
            engine.submit(request)
    engine.submit(Request((5,)))
    engine.submit(Request((5,)))
    with pytest.raises(EngineFull, match="2 answers are waiting"):
        engine.submit(Request((5,)))
    run(engine)
    with pytest.raises(GenerationError, match="doesn't write"):
        Engine(make_encoder("bert"), tokenizer)


def test_an_answer_fails_alone(model, tokenizer) -> None:
    """Whether picking its token fails, or reading its prompt: the others go on as if it weren't there."""
    requests = requests_of(model, tokenizer, GREEDY)
    alone = Engine(model, tokenizer)
    expected = alone.submit(requests[2])
    run(alone)

    engine = Engine(model, tokenizer, rows=3)
    answers = [engine.submit(request) for request in requests]
    broken = RuntimeError("out of order")

    def refuse(token: int, complete: bool) -> None:
        raise broken

    answers[1].writing.push = refuse  # type: ignore[assignment, method-assign]
    answers[3].read.insert(0, 10**9)  # a token that no embedding has
    run(engine)
    assert answers[1].error is broken and isinstance(answers[3].error, IndexError)
    assert not answers[1].deltas and not answers[3].deltas
    assert answers[2].writing.tokens == expected.writing.tokens
    assert [answer.error is None for answer in answers] == [True, False, True, False, True]


def test_a_pass_without_logits_ends_its_answers_alone(make_decoder, tokenizer, monkeypatch) -> None:
    """As where the memory isn't enough for them: who comes next is answered."""
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    engine, requests = Engine(model, tokenizer), requests_of(model, tokenizer, GREEDY)
    answers, broken = [engine.submit(request) for request in requests[:3]], MemoryError("no room for it")

    def no_room(states: torch.Tensor) -> torch.Tensor:
        raise broken

    for _ in range(4):
        engine.tick()
    with monkeypatch.context() as patched:
        patched.setattr(engine.passes, "logits", no_room)
        engine.tick()
    assert [answer.error for answer in answers] == [broken] * 3 and engine.free_rows == engine.rows
    again = engine.submit(requests[0])
    run(engine)
    assert again.error is None and again.writing.tokens[: len(answers[0].writing.tokens)] == answers[0].writing.tokens


def test_rows_take_no_more_memory_than_they_may(make_decoder, make_recurrent, tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    whole = Engine(model, tokenizer, rows=4)
    assert whole.context == 64
    half = Engine(model, tokenizer, rows=4, memory=whole.slots.bytes // 2)
    assert half.context == 32 and half.slots.bytes == whole.slots.bytes // 2
    with pytest.raises(GenerationError, match="32 tokens long, and the model's context of 32"):
        half.submit(Request(tuple([5] * 32)))
    answer = half.submit(Request(tuple([5] * 20), GREEDY, max_tokens=40))
    run(half)
    assert answer.deltas[-1].finish_reason == "context" and len(answer.writing.tokens) == 12
    for large in (model, make_recurrent(vocabulary_size=tokenizer.vocabulary_size)):
        with pytest.raises(GenerationError, match="take fewer rows"):
            Engine(large, tokenizer, rows=4, memory=100)


def test_many_users_of_one_thread(make_decoder, tokenizer) -> None:
    """Each gets the answer that he would get alone; who leaves, frees; who comes too late, hears of it."""
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    thread = EngineThread(Engine(model, tokenizer, rows=2))

    async def text_of(request: Request) -> str:
        return "".join([delta.text async for delta in thread.stream(request)])

    async def leave_early(request: Request) -> None:
        async with contextlib.aclosing(thread.stream(request)) as stream:
            await anext(stream)

    async def everybody() -> list[str]:
        texts = asyncio.gather(*(text_of(request) for request in requests_of(model, tokenizer, GREEDY)))
        await asyncio.gather(*(leave_early(Request((5,), Sampling(seed=n), max_tokens=50)) for n in range(4)))
        with pytest.raises(GenerationError, match="64 tokens long"):
            await text_of(Request(tuple([5] * 64)))
        return await texts

    texts = asyncio.run(everybody())
    engine = Engine(model, tokenizer)
    answers = [engine.submit(request) for request in requests_of(model, tokenizer, GREEDY)]
    run(engine)
    assert texts == ["".join(delta.text for delta in answer.deltas) for answer in answers]
    assert thread.alive(within_seconds=60)
    thread.close()
    assert not thread.alive(within_seconds=60)
    with pytest.raises(GenerationError, match="stopped"):
        asyncio.run(text_of(Request((5,))))


def test_closing_ends_open_answers_with_an_error(make_recurrent, tokenizer) -> None:
    thread = EngineThread(Engine(make_recurrent(vocabulary_size=tokenizer.vocabulary_size), tokenizer))

    async def cut_off() -> None:
        async with contextlib.aclosing(thread.stream(Request((5,), Sampling(temperature=1.0), max_tokens=10**9))) as stream:
            await anext(stream)
            await asyncio.to_thread(thread.close)
            async for _ in stream:
                pass

    with pytest.raises(GenerationError, match="stopped before"):
        asyncio.run(cut_off())
