"""One engine for every model that writes: many answers at once, each token of all of them from one pass over the weights.

Answers come and go between two passes (continuous batching; Yu et al. 2022, Orca). A pass writes for all of them, and reads one
bounded chunk of one prompt beside, so that a long prompt delays those who are being answered by a bounded time (Agrawal et al.
2023). A row of the buffers, for the worst case, is taken when an answer is let in: nothing that was let in is ever put out.
"""

import contextlib
import time
from collections import deque
from functools import partial

import torch
from torch import Tensor

from ..errors import GenerationError
from ..machine.memory import free_bytes
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..models.slots import EncoderDecoderSlots, Slots
from ..tokens.tokenizer import Tokenizer
from .answer import Answer, answer_to
from .draft_model import DraftModel
from .generate import refuse_encoder, unwritable
from .passes import Group, Passes
from .prefix_cache import BLOCK, PrefixCache
from .request import Delta, Request, TokenLogprob
from .row_length import row_length
from .sampling import pick
from .searches import Searches
from .speculation import LONGEST, Speculation

ROWS, QUEUE = 16, 64  # answers at once, and those that may wait
LEAST_CHUNK, MOST_CHUNK = 16, 512  # tokens of a prompt that are read in one tick
BESIDE = 1.8  # less than 2: so the longest wait for a token stays under three times the shortest


class EngineFull(GenerationError):
    """As many answers are waiting as may. `retry_seconds`: after which one of them will probably have a row."""

    retry_seconds = 1.0


class Engine:
    """`rows` answers at once of one model, and `queue` that wait. Of one thread; see engine_thread.py for many users.

    `memory`: bytes that the rows' states may take; None: half of what is free; a quarter as much again may be taken by what is
    remembered of prompts, and another by the beam search under way. `context`: what a prompt and its answer may have in
    tokens: the model's own context, or what the memory holds of it; None where there is no limit. `draft` guesses what the
    model may write.
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
        self.context = row_length(model, rows, memory)
        self.slots: Slots = model.new_slots(rows, self.context or 0)
        self.passes = Passes(model, self.slots, memory // 4)
        # An encoder–decoder reads its source whole, and then a beginning of one token.
        self.prefixes = None if isinstance(model, EncoderDecoder) else PrefixCache(self.slots, memory // 4)
        self.searches = Searches(model, tokenizer, memory // 4)
        self.waiting: deque[Answer] = deque()
        self.decoding: list[Answer] = []  # answer n has row n
        self.reading: Answer | None = None  # has the row behind them
        self._forbidden = torch.tensor(sorted(unwritable(model, tokenizer)), dtype=torch.int64)
        self._speculation = Speculation(draft)

    def submit(self, request: Request) -> Answer:
        """Let a request wait for its turn. Raises GenerationError where it can't be served, EngineFull where it can't wait."""
        answer = answer_to(request, self.model, self.tokenizer, self.context)
        if request.beams is not None:
            self.searches.check(answer)
        if self.waiting_answers >= self.queue:
            raise EngineFull(f"{self.waiting_answers} answers are waiting already, as many as may; ask again later")
        if request.beams is None:
            self.waiting.append(answer)
        else:
            self.searches.add(answer)
        return answer

    def cancel(self, answer: Answer) -> None:
        """Stop an answer, and free what it took. One that has ended stays as it is."""
        if answer.finished:
            return
        answer.finished = True
        if answer.request.beams is not None:
            self.searches.remove(answer)
        elif answer in self.waiting:
            self.waiting.remove(answer)
        elif answer is self.reading:
            self.reading = None
        else:
            self._free(answer)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self.decoding or self.reading or self.searches)

    @property
    def waiting_answers(self) -> int:
        """How many answers wait for their turn."""
        return len(self.waiting) + self.searches.waiting

    @property
    def rows(self) -> int:
        """How many answers can be written at once."""
        return self.slots.capacity

    @property
    def cache_bytes(self) -> int:
        """What is remembered of prompts."""
        return 0 if self.prefixes is None else self.prefixes.bytes

    @property
    def free_rows(self) -> int:
        """Rows that no answer has."""
        return self.slots.capacity - len(self.decoding) - (self.reading is not None)

    @torch.inference_mode()
    def tick(self) -> bool:
        """Write one token of each answer that is being written, read one chunk of a prompt, and go on with one beam search.
        False: nothing to do."""
        if self.idle:
            return False
        with self.passes.workers.at_work():
            self._pass()
            self.searches.step()
        return True

    def _pass(self) -> None:
        """Write one token of each answer that is being written, and read one chunk of a prompt."""
        began = time.perf_counter()
        chunk, answers = self._next_chunk(), list(self.decoding)
        # A token of a prompt is of use for certain, a guess perhaps: so nothing is guessed while a prompt is read.
        guesses: list[list[int]] = [[] for _ in answers] if chunk else self._guesses()
        tokens = [[answer.read[-1], *guessed] for answer, guessed in zip(answers, guesses)]
        groups = self.passes.grouped([answer.length for answer in answers], tokens)
        if chunk:
            assert self.reading is not None
            groups.append(Group(len(answers), [self.reading.length], [chunk]))
        if groups:
            self._take(answers, guesses, groups, chunk, self.passes.run(groups))
            read = sum(len(group.lengths) * group.width for group in groups)
            cost, seconds = self._speculation.cost, time.perf_counter() - began
            self.passes.workers.choice.measure(cost.shared + read, seconds)
            cost.measure(read, seconds)

    def _next_chunk(self) -> list[int]:
        """The tokens of a prompt that are read in this pass: while someone waits for the next token, as many as take `BESIDE`
        times as long as one token of each answer."""
        if self.reading is None and self.waiting and self.free_rows:
            answer = self.waiting.popleft()
            try:
                self._let_in(answer)
            except Exception as error:
                self._fail(answer, error)
        if self.reading is None:
            return []
        cost, most = self._speculation.cost, MOST_CHUNK
        if self.decoding:
            most = int(BESIDE * (cost.shared + len(self.decoding)))
        begin, text = self.reading.length, self.reading.read
        end = min(begin + min(max(most, LEAST_CHUNK), MOST_CHUNK), len(text))
        if not self.slots.keeps_past:  # such a state can be remembered only where a block ends
            end = min(end, begin - begin % BLOCK + BLOCK)
        return text[begin:end]

    def _let_in(self, answer: Answer) -> None:
        """Give an answer the next row."""
        row = len(self.decoding)
        self.reading = answer
        self.slots.clear(row)
        if isinstance(self.slots, EncoderDecoderSlots):
            source = torch.tensor([answer.request.prompt], device=self.model.device)
            self.slots.remember(row, self.model.encode(source))  # type: ignore[operator]
        if self.prefixes is not None:
            answer.length = answer.cached = self.prefixes.restore(row, answer.read, answer.chain)

    def _take(
        self,
        answers: list[Answer],
        guesses: list[list[int]],
        groups: list[Group],
        chunk: list[int],
        states: list[Tensor | Exception],
    ) -> None:
        """Take in what a pass gave: pick tokens of those that are being written, and count what was read of a prompt."""
        picked: list[tuple[Answer, list[int], Tensor]] = []
        failed: list[tuple[Answer, Exception]] = []
        for group, found in zip(groups, states):
            rows = range(group.first, group.first + len(group.lengths))
            if chunk and group is groups[-1]:
                assert self.reading is not None
                if isinstance(found, Exception):
                    failed.append((self.reading, found))
                elif self._was_read(self.reading, len(chunk)):
                    picked.append((self.decoding[-1], [], found[0, -1:]))
            elif isinstance(found, Exception):
                failed += [(answers[row], found) for row in rows]
            else:
                picked += [(answers[row], guesses[row], state[: 1 + len(guesses[row])]) for row, state in zip(rows, found)]
        self._pick(picked, failed)

    def _was_read(self, answer: Answer, tokens: int) -> bool:
        """Count tokens of a prompt as read; behind its end, which is told, its answer is written."""
        answer.length += tokens
        self._keep(len(self.decoding), answer)
        if answer.length < len(answer.read):
            return False
        self.reading = None
        self.decoding.append(answer)
        return True

    def _guesses(self) -> list[list[int]]:
        """The tokens that may follow each answer's last; none that couldn't be taken back."""
        answers = self.decoding
        longest = max((answer.length for answer in answers), default=0)
        room = LONGEST if self.context is None else self.context - longest - 1
        if not self.slots.keeps_past or room < 1:
            return [[] for _ in answers]
        most = [min(answer.writing.left - 1, room) for answer in answers]
        return self._speculation.guesses([answer.guesser for answer in answers], [answer.read for answer in answers], most)

    def _pick(self, picked: list[tuple[Answer, list[int], Tensor]], failed: list[tuple[Answer, Exception]]) -> None:
        """Pick each answer's next tokens: one, and one more behind each guess that was right, of a state (D,) for its last
        token and each guess. `failed`: answers that can't be gone on with."""
        try:
            logits = self.passes.logits(torch.cat([states for *_, states in picked])) if picked else torch.empty(0)
        except Exception as error:  # such as too little memory: the next requests may be fewer
            picked, failed = [], [*failed, *((answer, error) for answer, *_ in picked)]
        first = 0
        for answer, guessed, states in picked:
            own = logits[first : first + len(states)]
            first += len(states)
            try:
                self._write_on(answer, guessed, own)
            except Exception as error:  # of this answer, and of no other
                failed.append((answer, error))
        for answer, *_ in picked:  # once all know how much they have read, since freeing a row moves another
            if answer.finished:
                self._free(answer)
        for answer, why in failed:
            self._fail(answer, why)

    def _write_on(self, answer: Answer, guessed: list[int], logits: Tensor) -> None:
        """Pick tokens of one answer as long as they are the guessed ones, of logits (1 + guesses, V), and say what is new."""
        right, texts, told = 0, list[str](), list[TokenLogprob]()
        while True:
            answer.length = len(answer.read)  # the logits are of a state that has read them all
            token = self._picked(answer, logits[right], told)
            text, reason = answer.writing.push(token, answer.constraint is not None and answer.constraint.complete)
            texts.append(text)
            answer.read.append(token)
            if right < len(guessed):
                answer.guesser.used.count(guessed[right:], token)
            if reason is not None or right == len(guessed) or token != guessed[right]:
                break
            right += 1
        answer.guesser.used.learn(len(guessed), right)
        counts = answer.cached, answer.guesser.right, answer.guesser.wrong
        answer.deltas.append(Delta("".join(texts), len(answer.writing.tokens), tuple(told), *counts, reason))
        answer.finished = reason is not None

    def _picked(self, answer: Answer, logits: Tensor, told: list[TokenLogprob]) -> int:
        """The next token of an answer, of logits (V,); what is to be told of it is added to `told`."""
        request, written = answer.request, answer.writing.tokens
        log_probabilities = None if request.logprobs is None else logits.log_softmax(dim=-1)
        logits[self._forbidden] = -torch.inf
        choose = partial(pick, previous=answer.read, sampling=request.sampling, position=len(written), written=written)
        constraint, left = answer.constraint, answer.writing.left
        token = choose(logits) if constraint is None else constraint.pick(logits, left, choose)
        if log_probabilities is not None:
            told.append(self._told(log_probabilities, token, request.logprobs or 0))
        return token

    def _keep(self, row: int, answer: Answer) -> None:
        """Remember what an answer's row has read; where the memory for it can't be had, the next prompt is read anew."""
        if self.prefixes is not None:
            with contextlib.suppress(RuntimeError, MemoryError):
                self.prefixes.keep(row, answer.read, answer.length, answer.chain)

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
        self._keep(row, answer)  # the next question often begins with this answer
        last = self.decoding.pop()
        if last is not answer:
            self.slots.move(len(self.decoding), row, last.length)
            self.decoding[row] = last
        if self.reading is not None:
            self.slots.move(len(self.decoding) + 1, len(self.decoding), self.reading.length)
