"""From a request's body to its answer, whoever brought it: the server's routes and batch files ask the engine so."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from ..inference.engine_thread import EngineThread
from ..inference.generate import refuse_prompt
from ..inference.request import Request
from .answers import Form, Piece
from .beam_width import search_of
from .errors import ApiError, naming
from .messages import said
from .schema import ChatBody, CompletionBody
from .served import Served


async def of_chat(served: Served, body: ChatBody, salt: str) -> tuple[Form, list[Request]]:
    """What the engine is asked for a chat, and how the answer is written. Raises ApiError, GenerationError."""
    engine = served.writer()
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs: true", "top_logprobs", "invalid_value")
    begun = body.begun()
    tools = [tool.told() for tool in body.callable_tools()]
    rule = await asyncio.to_thread(body.rule) if tools else body.rule()  # a body may hold megabytes of them
    messages = said(body.messages if begun is None else body.messages[:-1])
    prompt = await served.chat_prompt(messages, begun or "", tools)
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    most = body.max_completion_tokens or body.max_tokens
    if None not in (body.max_completion_tokens, body.max_tokens) and body.max_tokens != most:
        raise ApiError(
            400, "max_tokens is the old name of max_completion_tokens; give one of them", "max_tokens", "invalid_value"
        )
    search = search_of(body, logprobs)
    with naming("messages"):
        refuse_prompt(served.model, served.tokenizer, prompt, engine.context)
    grammar = await served.grammar(*rule) if rule else None
    asked = body.requests([prompt], [bool(begun)], logprobs, most, salt, grammar, search)
    _check(asked[0], served)
    if tools and grammar is not None and not grammar.opening:
        asked = [replace(one, stop=()) for one in asked]  # there is no text that could be stopped
    return Form(True, served.name, served.tokenizer, asked, body.n or 1, bool(tools)), asked


async def of_completion(served: Served, body: CompletionBody, salt: str) -> tuple[Form, list[Request]]:
    """What the engine is asked for a completion, and how it is written. Raises ApiError, GenerationError."""
    engine, prompts, continues = served.writer(), list[list[int]](), list[bool]()
    for name, given in body.prompts().items():
        prompts.append(await served.prompt(given))
        continues.append(bool(given) and served.model.family != "encoder-decoder")
        with naming(name):
            refuse_prompt(served.model, served.tokenizer, prompts[-1], engine.context)
    search = search_of(body, body.logprobs)
    rule = body.rule()
    grammar = await served.grammar(*rule) if rule else None
    asked = body.requests(prompts, continues, body.logprobs, body.max_tokens, salt, grammar, search)
    _check(asked[0], served)
    return Form(False, served.name, served.tokenizer, asked, body.n or 1), asked


def _check(asked: Request, served: Served) -> None:
    """Raise ApiError, which names the field, where what is asked doesn't fit the model."""
    if problems := asked.sampling.bias_problems(served.tokenizer.vocabulary_size):
        raise ApiError(400, problems[0], "logit_bias", "invalid_value")
    if asked.grammar is not None:
        with naming("max_tokens"):
            asked.grammar.check_room(asked.max_tokens)


async def side_by_side(engine: EngineThread, asked: Sequence[Request], ends: float | None) -> AsyncGenerator[Piece, None]:
    """What is new of several answers, as it comes, each with its number; no more of them are in the engine at once than leave
    room for others. The first error ends them all, and the deadline."""
    news = asyncio.Queue[Piece | Exception](maxsize=1)  # what isn't fetched waits in the answers' own backlogs
    room = asyncio.Semaphore(engine.most_of_one)

    async def hand_on(number: int, request: Request) -> None:
        try:
            # Here the deadline holds for the engine also where nobody fetches what is new.
            async with asyncio.timeout_at(ends), room, contextlib.aclosing(engine.stream(request)) as stream:
                async for delta in stream:
                    await news.put((number, delta))
        except Exception as error:
            await news.put(error)

    tasks = [asyncio.ensure_future(hand_on(number, request)) for number, request in enumerate(asked)]
    try:
        still_open = len(asked)
        while still_open:
            new = await news.get()
            if isinstance(new, Exception):
                raise new
            yield new
            still_open -= new[1].finish_reason is not None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
