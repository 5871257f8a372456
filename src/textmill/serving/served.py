"""A model that is being served: its engine, and what it can be asked."""

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import Any

from ..formats.model_folder import ModelFolder
from ..inference.classify import Scores
from ..inference.draft_model import DraftModel
from ..inference.embed import Vector
from ..inference.encoder_engine import EncoderEngine, Found, Readings
from ..inference.engine import QUEUE, ROWS, Engine, EngineFull
from ..inference.engine_thread import EngineThread
from ..inference.fill import MaskedTokens
from ..inference.grammar import Grammar, Grammars, Rule
from ..inference.pace import bytes_per_token
from ..inference.reading import Wanted
from ..inference.request import Delta, Request
from ..inference.tag import Emissions
from ..machine.profile import memory_key, recall
from .errors import ApiError, naming
from .labels import moderates

COMPILE_SECONDS = 10.0  # that a grammar has


class Served:
    """One model under the name that requests give it. `serves`: the paths of the API that it can be asked at.

    `context_length`: how many tokens a prompt and its answer may have together; None where nothing limits them together.
    `bytes_per_token`: of weights, which are read once for each token; None where none is written.
    `memory_bytes_per_second`: what doctor measured of the memory that they lie in; None where that isn't remembered.
    `read_by`: what computes it, in words.
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
        self.model, self.tokenizer, self.task = folder.model, folder.tokenizer, folder.task
        self.engine = self._engine(rows, queue, draft)
        limited = self.model.family != "encoder-decoder"  # there the source has a limit of its own
        self.context_length = self.engine.context if limited else None
        self.bytes_per_token = bytes_per_token(self.model) if self.model.writes else None
        self.memory_bytes_per_second = recall(memory_key(self.model.device))
        self.queue = queue
        self._grammars, self._compiler = Grammars(self.tokenizer), concurrent.futures.ThreadPoolExecutor(1, "grammars")
        self._compiling = 0
        # What can be wanted of a text that is read, by the path that gives it.
        readable: dict[str, Wanted] = {
            "/v1/embeddings": Vector(),
            "/v1/fill": MaskedTokens(self.tokenizer, 1),
            "/v1/classify": Scores(self.task),
            "/v1/moderations": Scores(self.task),
            "/v1/tag": Emissions(self.task),
        }
        self.serves = [path for path, wanted in readable.items() if not self.model.writes and not wanted.problem(self.model)]
        if self.task is not None and not moderates(self.task.config):
            self.serves = [path for path in self.serves if path != "/v1/moderations"]
        if self.model.writes:
            self.serves = [*(["/v1/chat/completions"] if self.tokenizer.chat_template else []), "/v1/completions"]

    @property
    def _all_served(self) -> str:
        """In words: a model that finds spans, for one, may serve nothing."""
        return " and ".join(self.serves) or "nothing here"

    def writer(self) -> EngineThread[Request, Delta]:
        """Its engine, which writes. Raises ApiError where it doesn't."""
        if not self.model.writes:
            message = f"{self.name} is {self.model.kind}, which doesn't write; it serves {self._all_served}"
            raise ApiError(400, message, "model", "model_not_supported")
        return self.engine

    def reader(self, path: str) -> EngineThread[Readings, Found]:
        """Its engine, which reads what is asked at this path. Raises ApiError where it doesn't."""
        if path not in self.serves:
            message = f"{self.name} is {self.model.kind}, which doesn't serve {path}; it serves {self._all_served}"
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

    async def grammar(self, field: str, rule: Rule) -> Grammar:
        """A rule that this field gives, compiled off the event loop and one at a time. Raises ApiError where it can't be, and
        after `COMPILE_SECONDS`; what has begun then goes on to its own bounds, since a thread can't be killed."""
        if (known := self._grammars.known(rule)) is not None:
            return known
        if self._compiling >= self.queue:
            raise EngineFull(f"{self._compiling} response formats are waiting already, as many as may; ask again later")
        self._compiling += 1
        try:
            compiling = asyncio.get_running_loop().run_in_executor(self._compiler, self._grammars.compiled, rule)
            with naming(field):
                return await asyncio.wait_for(compiling, COMPILE_SECONDS)
        except TimeoutError as error:
            message = f"{field}: the {rule.name} wasn't compiled within {COMPILE_SECONDS:.0f} seconds; write a simpler one"
            raise ApiError(400, message, field, "grammar_too_slow") from error
        finally:
            self._compiling -= 1

    def close(self) -> None:
        """Stop its engine."""
        self._compiler.shutdown(wait=False, cancel_futures=True)
        self.engine.close()

    def _engine(self, rows: int, queue: int, draft: ModelFolder | None) -> EngineThread[Any, Any]:
        if not self.model.writes:
            self.read_by = "torch"
            return EngineThread(EncoderEngine(self.model, rows, queue))
        guessing = DraftModel(draft.model, draft.tokenizer, self.tokenizer, rows) if draft else None
        engine = Engine(self.model, self.tokenizer, rows, queue, draft=guessing)
        self.read_by = engine.passes.by
        return EngineThread(engine)
