"""A model that is being served: by its engine where it writes, and else by its vectors."""

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import Any

from ..formats.model_folder import ModelFolder
from ..inference.draft_model import DraftModel
from ..inference.embed import embed
from ..inference.engine import QUEUE, ROWS, EngineFull
from ..inference.engine_thread import EngineThread
from ..inference.grammar import Grammar, Grammars, Rule
from ..machine.profile import memory_key, recall
from ..models.count import count
from .errors import ApiError

COMPILE_SECONDS = 10.0  # that a grammar has


class Served:
    """One model under the name that requests give it. `engine` is None where it doesn't write.

    `context_length`: how many tokens a prompt and its answer may have together; None where nothing limits them together.
    `bytes_per_token`: of weights, which are read once for each token that is written. `memory_bytes_per_second`: what
    doctor measured of the memory that they lie in; None where that isn't remembered.
    """

    def __init__(
        self,
        name: str,
        folder: ModelFolder,
        created: int,
        rows: int = ROWS,
        queue: int = QUEUE,
        draft: ModelFolder | None = None,
    ):
        self.name, self.created = name, created
        self.model, self.tokenizer = folder.model, folder.tokenizer
        guessing = draft and self.model.writes and DraftModel(draft.model, draft.tokenizer, self.tokenizer, rows)
        self.engine = EngineThread(self.model, self.tokenizer, rows, queue, guessing or None) if self.model.writes else None
        limited = self.model.family != "encoder-decoder"  # there the source has a limit of its own
        limit = self.model.context_limit if self.engine is None else self.engine.context
        self.context_length = limit if limited else None
        bytes_per_weight = self.model.embedding.weight.element_size()
        self.bytes_per_token = int(count(self.model.config).decode_bytes(bytes_per_weight)) if self.engine else None
        self.memory_bytes_per_second = recall(memory_key(self.model.device))
        self.queue = queue
        self._grammars, self._compiler = Grammars(self.tokenizer), concurrent.futures.ThreadPoolExecutor(1, "grammars")
        self._compiling = 0
        self._embedding, self._waiting = asyncio.Lock(), 0

    def writer(self) -> EngineThread:
        """Its engine. Raises ApiError where it has none."""
        if self.engine is None:
            message = f"{self.name} is {self.model.kind}, which doesn't write; it serves /v1/embeddings"
            raise ApiError(400, message, "model", "model_not_supported")
        return self.engine

    async def chat_prompt(
        self, messages: Sequence[dict[str, Any]], begun: str = "", tools: Sequence[dict[str, Any]] = ()
    ) -> list[int]:
        """The tokens of a conversation in which `tools` may be called, and of the beginning of its answer, made off the event
        loop. Raises ApiError where the model has no chat template."""
        if self.tokenizer.chat_template is None:
            message = f"{self.name} has no chat template, since it continues texts and doesn't answer; use /v1/completions"
            raise ApiError(400, message, "model", "no_chat_template")
        if begun and self.model.family == "encoder-decoder":
            message = f"{self.name} reads a conversation apart from its answer, so that no answer can be gone on with"
            raise ApiError(400, message, "continue_final_message", "model_not_supported")
        return await asyncio.to_thread(lambda: self.tokenizer.encode_chat(messages, tools=tools) + self.tokenizer.encode(begun))

    async def prompt(self, text: str | list[int]) -> list[int]:
        """The tokens of a text to go on from; of an encoder–decoder, of the source."""
        if isinstance(text, list):
            return text
        whole = self.model.family == "encoder-decoder"
        return await asyncio.to_thread(self.tokenizer.encode_whole if whole else self.tokenizer.encode_beginning, text)

    async def grammar(self, rule: Rule | None) -> Grammar | None:
        """A rule compiled, off the event loop and one at a time. Raises ApiError after `COMPILE_SECONDS`; what has begun then
        goes on to its own bounds, since a thread can't be killed."""
        if rule is None or (known := self._grammars.known(rule)) is not None:
            return None if rule is None else known
        if self._compiling >= self.queue:
            raise EngineFull(f"{self._compiling} response formats are waiting already, as many as may; ask again later")
        self._compiling += 1
        try:
            compiling = asyncio.get_running_loop().run_in_executor(self._compiler, self._grammars.compiled, rule)
            return await asyncio.wait_for(compiling, COMPILE_SECONDS)
        except TimeoutError as error:
            message = f"the {rule.kind} wasn't compiled within {COMPILE_SECONDS:.0f} seconds; write a simpler one"
            raise ApiError(400, message, code="grammar_too_slow") from error
        finally:
            self._compiling -= 1

    async def embedded(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """A vector for each text, and the number of tokens that were read, off the event loop. Raises EngineFull where too
        many are waiting."""
        if self._waiting >= self.queue:
            raise EngineFull(f"{self._waiting} requests are waiting already, as many as may; ask again later")
        self._waiting += 1
        try:
            async with self._embedding:
                return await asyncio.to_thread(self._embed, texts)
        finally:
            self._waiting -= 1

    def _embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        vectors = embed(self.model, self.tokenizer, texts)
        return vectors.tolist(), sum(len(self.tokenizer.encode_whole(text)) for text in texts)

    def close(self) -> None:
        """Stop its engine."""
        self._compiler.shutdown(wait=False, cancel_futures=True)
        if self.engine is not None:
            self.engine.close()
