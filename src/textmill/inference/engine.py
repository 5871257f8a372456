"""One engine for every model that writes: many answers at once, each token of all of them from one pass over the weights.

Answers come and go between two passes (continuous batching; Yu et al. 2022, Orca). Decoding goes first, then one bounded chunk
of one prompt, so that a long prompt delays those who are being answered by a bounded time (Agrawal et al. 2023). A row of the
buffers, for the worst case, is taken when an answer is let in: nothing that was let in is ever put out.
"""

import time
from collections import deque
from functools import partial

import torch
from torch import Tensor

from ..errors import GenerationError
from ..machine.memory import free_bytes
from ..models.count import state_bytes
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..models.slots import EncoderDecoderSlots, Slots
from ..tokens.tokenizer import Tokenizer
from .answer import Answer
from .draft_model import DraftModel
from .generate import refuse_encoder, refuse_long_prompt, start_of_target, unwritable
from .prefix_cache import BLOCK, PrefixCache
from .request import Delta, Request, TokenLogprob
from .sampling import pick
from .speculation import LONGEST, Speculation
from .writing import StopStrings, Writing

ROWS, QUEUE = 16, 64  # answers at once, and those that may wait
LEAST_CHUNK, MOST_CHUNK = 16, 512  # tokens of a prompt that are read in one tick
MOST_LOGPROBS = 20  # alternatives to a token


class EngineFull(GenerationError):
    """As many answers are waiting as may. `retry_seconds`: after which one of them will probably have a row."""

    retry_seconds = 1.0


class Engine:
    """`rows` answers at once of one model, and `queue` that wait. Of one thread; see engine_thread.py for many users.

    `memory`: bytes that the rows' states may take; None: half of what is free; a quarter as much again may be taken by what is
    remembered of prompts. `context`: what a prompt and its answer may have in tokens: the model's own context, or what the
    memory holds of it; None where there is no limit. `draft` guesses what the model may write.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        rows: int = ROWS,
        queue: int = QUEUE,
        memory: int | None = None,
        draft: DraftModel | None = None,
    ):
        refuse_encoder(model)
        if rows < 1 or queue < 1:
            raise GenerationError(f"an engine has at least one row and one place in its queue, found {rows} and {queue}")
        self.model, self.tokenizer, self.queue = model, tokenizer, queue
        memory = free_bytes(model.device) // 2 if memory is None else memory
        self.context = self._context(rows, memory)
        self.slots: Slots = model.new_slots(rows, self.context or 0)
        # An encoder–decoder reads its source whole, and then a beginning of one token.
        self.prefixes = None if isinstance(model, EncoderDecoder) else PrefixCache(self.slots, memory // 4)
        self.waiting: deque[Answer] = deque()
        self.decoding: list[Answer] = []  # answer n has row n
        self.reading: Answer | None = None  # has the row behind them
        self._forbidden = torch.tensor(sorted(unwritable(model, tokenizer)), dtype=torch.int64)
        self._decode_seconds, self._token_seconds = 0.0, 0.0  # of the last step, and of the last prompt's tokens
        self._speculation = Speculation(draft)

    def submit(self, request: Request) -> Answer:
        """Let a request wait for its turn. Raises GenerationError where it can't be served, EngineFull where it can't wait."""
        answer = self._checked(request)
        if len(self.waiting) >= self.queue:
            raise EngineFull(f"{len(self.waiting)} answers are waiting already, as many as may; ask again later")
        self.waiting.append(answer)
        return answer

    def cancel(self, answer: Answer) -> None:
        """Stop an answer, and free what it took. One that has ended stays as it is."""
        if answer.finished:
            return
        answer.finished = True
        if answer in self.waiting:
            self.waiting.remove(answer)
        elif answer is self.reading:
            self.reading = None
        else:
            self._free(answer)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self.decoding or self.reading)

    @property
    def free_rows(self) -> int:
        """Rows that no answer has."""
        return self.slots.capacity - len(self.decoding) - (self.reading is not None)

    @torch.inference_mode()
    def tick(self) -> bool:
        """Write one token of each answer that is being written, then read one chunk of a prompt. False: nothing to do."""
        if self.idle:
            return False
        if self.decoding:
            try:
                self._decode()
            except Exception as error:  # such as too little memory: the next requests may be smaller
                for answer in list(self.decoding):
                    self._fail(answer, error)
        if self.reading is not None:
            self._go_on_reading(self.reading)
        elif self.waiting and self.free_rows:
            self._go_on_reading(self.waiting.popleft())
        return True

    def _context(self, rows: int, memory: int) -> int | None:
        """How many tokens each of `rows` states in so many bytes holds; no more than the model's context."""
        model = self.model
        a_value = model.embedding.weight.element_size()
        one, two = (state_bytes(model.config, length, a_value) for length in (1, 2))
        if model.context_limit is None:
            fits = 1 if rows * one <= memory else 0
        else:
            fits = min(model.context_limit, memory // (rows * (two - one)))
        if fits < min(LEAST_CHUNK, model.context_limit or 1):
            raise GenerationError(
                f"{rows} rows of {one:,} bytes a token and more don't fit into {memory:,} bytes of memory; take fewer rows"
            )
        return fits if model.context_limit is not None else None

    def _checked(self, request: Request) -> Answer:
        """The answer to a request, not begun."""
        model, tokenizer = self.model, self.tokenizer
        refuse_long_prompt(model, len(request.prompt), self.context)
        if request.logprobs is not None and not 0 <= request.logprobs <= MOST_LOGPROBS:
            raise GenerationError(f"logprobs must be from 0 to {MOST_LOGPROBS}, found {request.logprobs}")
        if any(not 0 <= token < tokenizer.vocabulary_size for token in request.prompt):
            raise GenerationError(f"a prompt's tokens are from 0 to {tokenizer.vocabulary_size - 1}; one of these isn't")
        problems = request.sampling.bias_problems(tokenizer.vocabulary_size)
        if request.grammar is not None and request.grammar.tokenizer is not tokenizer:
            problems.append("the grammar was compiled for another tokenizer than this model's")
        if problems:
            raise GenerationError(*problems)
        pairs = isinstance(model, EncoderDecoder)
        read = [start_of_target(model, tokenizer)] if pairs else list(request.prompt)
        room = None if self.context is None else self.context - len(read)
        stream = tokenizer.decode_stream(continues=request.continues)
        return Answer(request, read, Writing(stream, StopStrings(request.stop), tokenizer.end_ids, request.max_tokens, room))

    def _go_on_reading(self, answer: Answer) -> None:
        """Read one chunk of an answer's prompt."""
        try:
            if answer is not self.reading:
                self._let_in(answer)
            self._read_chunk(answer)
        except Exception as error:
            self._fail(answer, error)

    def _let_in(self, answer: Answer) -> None:
        """Give an answer the next row."""
        row = len(self.decoding)
        self.reading = answer
        self.slots.clear(row)
        if isinstance(self.slots, EncoderDecoderSlots):
            source = torch.tensor([answer.request.prompt], device=self.model.device)
            self.slots.remember(row, self.model.encode(source))  # type: ignore[operator]
        if self.prefixes is not None:
            answer.length = answer.cached = self.prefixes.restore(row, answer.read, answer.request.salt)

    def _read_chunk(self, answer: Answer) -> None:
        """Read on in a prompt; behind its end the first token is picked."""
        end = min(answer.length + self._chunk(), len(answer.read))
        if not self.slots.keeps_past:  # such a state can be remembered only where a block ends
            end = min(end, answer.length - answer.length % BLOCK + BLOCK)
        chunk = answer.read[answer.length : end]
        began = time.perf_counter()
        state = self.slots.view(len(self.decoding), [answer.length])
        hidden = self.model.hidden(torch.tensor([chunk], device=self.model.device), state=state)
        answer.length = end
        if self.prefixes is not None:
            self.prefixes.keep(len(self.decoding), answer.read[:end], answer.request.salt)
        if answer.length == len(answer.read):
            self.reading = None
            self.decoding.append(answer)
            self._pick([answer], [[]], hidden[:, -1])
        self._token_seconds = (time.perf_counter() - began) / len(chunk)

    def _chunk(self) -> int:
        """How many tokens of a prompt are read at once: while others wait for their next token, what takes as long as that."""
        if not self.decoding or not self._token_seconds:
            return MOST_CHUNK if not self.decoding else LEAST_CHUNK
        return min(MOST_CHUNK, max(LEAST_CHUNK, int(self._decode_seconds / self._token_seconds)))

    def _decode(self) -> None:
        """One token of each answer, and more where guesses turn out right."""
        answers = list(self.decoding)
        guesses = self._guesses(answers)
        began = time.perf_counter()
        width = 1 + max(map(len, guesses))
        inputs = torch.zeros((len(answers), width), dtype=torch.int64)
        for row, answer, guessed in zip(inputs, answers, guesses):
            row[: 1 + len(guessed)] = torch.tensor([answer.read[-1], *guessed])
        state = self.slots.view(0, [answer.length for answer in answers])
        hidden = self.model.hidden(inputs.to(self.model.device), state=state)
        places = [row * width + place for row, guessed in enumerate(guesses) for place in range(1 + len(guessed))]
        self._pick(answers, guesses, hidden.flatten(0, 1)[places] if width > 1 else hidden[:, 0])
        self._decode_seconds = time.perf_counter() - began
        self._speculation.cost.measure(len(answers) * width, self._decode_seconds)

    def _guesses(self, answers: list[Answer]) -> list[list[int]]:
        """The tokens that may follow each answer's last; none that couldn't be taken back."""
        room = LONGEST if self.context is None else self.context - max(answer.length for answer in answers) - 1
        if not self.slots.keeps_past or room < 1:
            return [[] for _ in answers]
        most = [min(answer.writing.left - 1, room) for answer in answers]
        return self._speculation.guesses([answer.guesser for answer in answers], [answer.read for answer in answers], most)

    def _pick(self, answers: list[Answer], guesses: list[list[int]], hidden: Tensor) -> None:
        """Pick each answer's next tokens: one, and one more behind each guess that was right. `hidden` has a state, (D,), for
        the last token and each guess of every answer, in their order."""
        logits = self.model.head(hidden).float().cpu()
        first, failed = 0, list[tuple[Answer, Exception]]()
        for answer, guessed in zip(answers, guesses):
            own = logits[first : first + 1 + len(guessed)]
            first += len(own)
            try:
                self._write_on(answer, guessed, own)
            except Exception as error:  # of this answer, and of no other
                failed.append((answer, error))
        for answer in answers:  # once all know how much they have read, since freeing a row moves another
            if answer.finished:
                self._free(answer)
        for answer, why in failed:
            self._fail(answer, why)

    def _write_on(self, answer: Answer, guessed: list[int], logits: Tensor) -> None:
        """Pick tokens of one answer as long as they are the guessed ones, of logits (1 + guesses, V)."""
        right = 0
        while True:
            answer.length = len(answer.read)  # the logits are of a state that has read them all
            token = self._write(answer, logits[right], guessed[right:])
            if answer.finished or right == len(guessed) or token != guessed[right]:
                break
            right += 1
        answer.guesser.used.learn(len(guessed), right)

    def _write(self, answer: Answer, logits: Tensor, guessed: list[int]) -> int:
        """Pick one token of an answer, of logits (V,), and say what is new. `guessed`: this one, perhaps, and more."""
        request, written = answer.request, answer.writing.tokens
        log_probabilities = None if request.logprobs is None else logits.log_softmax(dim=-1)
        logits[self._forbidden] = -torch.inf
        choose = partial(pick, previous=answer.read, sampling=request.sampling, position=len(written), written=written)
        constraint, left = answer.constraint, answer.writing.left
        token = choose(logits) if constraint is None else constraint.pick(logits, left, choose)
        told = () if log_probabilities is None else (self._told(log_probabilities, token, request.logprobs or 0),)
        text, finish_reason = answer.writing.push(token, complete=constraint is not None and constraint.complete)
        answer.read.append(token)
        if guessed:
            answer.guesser.used.count(guessed, token)
        counts = answer.cached, answer.guesser.right, answer.guesser.wrong
        answer.deltas.append(Delta(text, len(answer.writing.tokens), told, *counts, finish_reason))
        answer.finished = finish_reason is not None
        return token

    def _fail(self, answer: Answer, error: Exception) -> None:
        """End an answer that can't be gone on with."""
        answer.error = error
        self.cancel(answer)

    def _told(self, log_probabilities: Tensor, token: int, alternatives: int) -> TokenLogprob:
        """What is told of a picked token, of the log-probabilities (V,) before any filter."""
        best = log_probabilities.topk(min(alternatives, len(log_probabilities)))
        pairs = tuple(zip(best.indices.tolist(), best.values.tolist()))
        return TokenLogprob(token, float(log_probabilities[token]), pairs)

    def _free(self, answer: Answer) -> None:
        """Give back an answer's row; the last row in use, and the one that is being read, move up."""
        row = self.decoding.index(answer)
        if self.prefixes is not None:  # the next question often begins with this answer
            self.prefixes.keep(row, answer.read[: answer.length], answer.request.salt)
        last = self.decoding.pop()
        if last is not answer:
            self.slots.move(len(self.decoding), row, last.length)
            self.decoding[row] = last
        if self.reading is not None:
            self.slots.move(len(self.decoding) + 1, len(self.decoding), self.reading.length)
