"""A conversation in the terminal, or over a pipe: lines in, streamed text out, a few commands.

A model with a chat template answers in it; a base model is said to be one, since it goes on with what it is given. Ctrl-C
stops the answer, Ctrl-D ends. Notes go to standard error, so that a pipe gets the model's text alone.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import GenerationError, TextmillError, nearest
from ..files import write_text
from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer
from .conversation import Conversation, Messages, RunningText, Turn
from .generate import Piece, generate, refuse_encoder
from .pace import Pace
from .sampling import Sampling

COMMANDS = {
    "/help": "this list, and the settings now",
    "/again": "another answer in the last one's place",
    "/undo": "take back the last answer and what you typed before it",
    "/reset": "forget all that was said and begin anew",
    "/text": "show all that was said so far",
    "/save FILE": "write all that was said into a file",
    "/seed N": "set the seed; answer number n is drawn with seed + n",
    "/temperature X": "0 takes the likeliest token; higher is wilder",
    "/quit": "end (also Ctrl-D)",
}
BASE_MODEL = (
    "This is a base model: it doesn't answer, it continues. Type the beginning of a text, and it writes on; then it is your"
    "\nturn in the same text. An empty line lets it go on, \\n begins a new line, /help shows more, Ctrl-C stops it."
)
ANSWERS = (
    "This model answers, in its own chat template. Type a message; \\n begins a new line, /help shows more, Ctrl-C stops an"
    "\nanswer, Ctrl-D ends."
)
CONTROL_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
CONTROL_CHARACTERS = CONTROL_PICTURES | dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)


def shown(text: str) -> str:
    """`text` for a terminal: what a model writes must not move the cursor or send commands, so control characters are
    replaced by their pictures."""
    return text.translate(CONTROL_CHARACTERS)


class Chat:
    """One user, one model, one conversation: in the model's chat template where it has one, else one text by turns.
    `system` says to the template's model how it is to answer."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        sampling: Sampling,
        max_tokens: int = 200,
        stop: list[str] | None = None,
        system: str | None = None,
    ):
        refuse_encoder(model)
        if model.family == "encoder-decoder":
            raise GenerationError(
                "an encoder-decoder makes one text of another, which `textmill generate` takes; it doesn't chat"
            )
        self.model, self.tokenizer = model, tokenizer
        self.sampling, self.max_tokens, self.stop = sampling, max_tokens, stop or []
        self.answers = tokenizer.chat_template is not None
        self.conversation = Conversation(Messages(system) if self.answers else RunningText(), seed=sampling.seed)
        self.saved: set[Path] = set()
        context = model.context_limit if model.context_limit is not None else sys.maxsize
        self.room = context - 1 - min(max_tokens, max(1, context // 2))  # tokens of the text that an answer sees at least
        if self.room < 1:
            raise GenerationError(f"the model's context of {context} tokens leaves no room for a text and an answer")
        if system is not None:
            self._check_system()

    def run(self) -> None:
        """Read lines until they end."""
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        note(ANSWERS if self.answers else BASE_MODEL)
        for line in _typed_lines() if interactive else _piped_lines():
            if line.startswith("/") and not line.startswith("//"):
                if not self._command(line):
                    return
            else:
                self.answer((line[1:] if line.startswith("//") else line).replace("\\n", "\n"))

    def answer(self, typed: str) -> None:
        """Let the model go on from the conversation with `typed` behind it, streaming; keep both."""
        if self.answers and not typed.strip():
            note("(an empty message has no answer; type one, or /help)")
            return
        try:
            view = self.conversation.presentation.view(self.tokenizer, self.conversation.turns, typed, self.room)
        except TextmillError as error:  # too long, or not for this template: the conversation stays as it is
            note(f"({error})")
            return
        if view.hidden:
            note(f"(the model looks back over {self.model.config.context_length} tokens: {view.hidden})")
        sampling = dataclasses.replace(self.sampling, seed=self.conversation.next_seed())
        answer = generate(self.model, self.tokenizer, view.prompt, sampling, self.max_tokens, self.stop)
        pace = Pace(self.model)
        written, reason = _stream(pace.watched(answer))
        self.conversation.turns.append(Turn(typed, written, closed=reason == "end"))
        if reason == "end" and not self.answers:
            note("(the model ended its text here; what you type now begins a new one)")
        elif reason == "interrupted":
            note("(stopped; what it wrote so far is kept, /undo takes it back)")
        elif reason in ("length", "context") and self.answers:
            full = "its context is full" if reason == "context" else f"--max-tokens allows {self.max_tokens}"
            note(f"(cut off here: {full})")
        if said := pace.line():
            note(said)

    def _check_system(self) -> None:
        """Raise an error, before anything is typed, where the system's text would be passed over or refused."""
        if not self.answers:
            raise GenerationError("--system is for a model with a chat template, and this one has none; leave it out")
        self.conversation.presentation.view(self.tokenizer, [], "Hello", self.room)

    def _command(self, line: str) -> bool:
        """Do what a line such as `/seed 3` says; False where the conversation is to end."""
        name, _, argument = line.strip().partition(" ")
        argument = argument.strip()
        known = {command.split()[0]: command for command in COMMANDS}
        if name not in known:
            note(f"there is no command {name}{nearest(name, known)}; /help lists them, and // begins a line with a slash")
        elif (" " in known[name]) != bool(argument):
            note(f"write {known[name]}")
        elif name == "/quit":
            return False
        else:
            getattr(self, f"_{name[1:]}")(*[argument] if argument else [])
        return True

    def _help(self) -> None:
        width = max(map(len, COMMANDS))
        for command, meaning in COMMANDS.items():
            note(f"  {command.ljust(width)}  {meaning}")
        context = self.model.context_limit
        note(
            f"now: temperature {self.sampling.temperature:g}, seed {self.conversation.seed}, {self.max_tokens} tokens an "
            f"answer at most, {'no limit to the' if context is None else f'{context} tokens of'} context"
        )

    def _again(self) -> None:
        last = self.conversation.undo()
        if last is None:
            note("nothing is written yet")
        else:
            self.answer(last.typed)

    def _undo(self) -> None:
        last = self.conversation.undo()
        if last is None:
            note("nothing is left to take back")
            return
        text = self.conversation.text()
        note(f"(taken back; the text now ends: …{shown(text[-60:])})" if text else "(taken back; nothing is said now)")

    def _reset(self) -> None:
        self.conversation.turns.clear()
        note("(nothing is said now)")

    def _text(self) -> None:
        write(self.conversation.text() + "\n")

    def _save(self, name: str) -> None:
        path = Path(name).expanduser()
        if path.exists() and path not in self.saved:
            note(f"{path} is there already; give another name")
            return
        try:
            write_text(path, self.conversation.text() + "\n")
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            note(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
        else:
            self.saved.add(path)
            note(f"({len(self.conversation.text()):,} characters written to {path})")

    def _seed(self, text: str) -> None:
        if self._change(seed=_number(text, int)):
            self.conversation.reseed(self.sampling.seed)

    def _temperature(self, text: str) -> None:
        self._change(temperature=_number(text, float))

    def _change(self, **values: Any) -> bool:
        try:
            self.sampling = dataclasses.replace(self.sampling, **values)
        except (GenerationError, TypeError) as error:
            note(f"{error}" if isinstance(error, GenerationError) else f"write a number behind /{next(iter(values))}")
            return False
        note("(" + ", ".join(f"{name} is {value:g} now" for name, value in values.items()) + ")")
        return True


def note(text: str) -> None:
    """Say something that isn't the model's."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def _number(text: str, kind: type) -> Any:
    """The number that `text` spells; None, which no setting takes, where it spells none."""
    try:
        return kind(text)
    except ValueError:
        return None


def _stream(answer: Iterator[Piece]) -> tuple[str, str | None]:
    """Show an answer as it comes, and end its line. Returns what was written, and why it ended."""
    pieces: list[str] = []
    reason: str | None = None
    try:
        for piece in answer:
            pieces.append(piece.text)
            write(piece.text)
            reason = piece.finish_reason
    except KeyboardInterrupt:
        reason = "interrupted"
    write("\n")
    return "".join(pieces), reason


def write(text: str) -> None:
    """Show what a model wrote, at once."""
    sys.stdout.write(shown(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _typed_lines() -> Iterator[str]:
    """Lines from a terminal, with history and editing where this Python has readline."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (input() uses it once it is imported)
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            note("\n(Ctrl-D or /quit ends)")
        except EOFError:
            note("")
            return


def _piped_lines() -> Iterator[str]:
    """Lines from a pipe or a file."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise GenerationError(
                f"standard input is not UTF-8 in line {number}: byte {error.object[error.start]:#04x}; convert it first"
            ) from error
