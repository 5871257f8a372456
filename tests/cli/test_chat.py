"""`textmill chat`, the real command: over a pipe, and in a real pseudo-terminal with its Ctrl-C and Ctrl-D."""

import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from textmill import load
from textmill.formats.model_folder import save_model_folder
from textmill.inference.generate import complete
from textmill.inference.sampling import Sampling
from textmill.models.decoder import Decoder
from textmill.tokens.tokenizer import Tokenizer

from ..tokens.foreign import chatml


def test_a_pipe_gets_the_text_and_nothing_else(textmill, tiny_run: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    typed = f"The class\n\n/again\n/undo\n/text\n/save {saved}\n/save {saved}\n".encode()
    first = textmill("chat", tiny_run, "--max-tokens", "12", typed=typed)
    assert first.code == 0, first.err
    words = ["--max-tokens", 12, "--seed", 0]
    again = textmill("chat", tiny_run / "model", *words, typed=typed.replace(b"/save", b"/help"))
    assert again.out == first.out  # the same lines, the same text
    notes = first.err
    assert notes.startswith("This is a base model: it doesn't answer, it continues.")
    assert "taken back" in notes and f"written to {saved}" in notes and "already" not in notes
    text = saved.read_text(encoding="utf-8")
    assert text.startswith("The class") and text in first.out


def test_a_full_context_drops_the_oldest_text_and_says_so(textmill, tiny_run: Path) -> None:
    result = textmill("chat", tiny_run, "--max-tokens", 20, typed=b"one two three four five " * 30 + b"\n\n\n")
    assert result.code == 0
    notes = result.err
    assert notes.count("looks back over 64 tokens: it sees the last") == 3
    assert len(result.out.splitlines()) >= 3


def test_mistakes_are_told_and_end_nothing(textmill, tiny_run: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.txt"
    taken.write_text("mine")
    lines = f"/sed 3\n/seed\n/seed x\n/seed -1\n/temperature -1\n/undo\n/again\n/save {taken}\n/save \0\n/quit\nnever\n"
    result = textmill("chat", tiny_run, typed=lines.encode())
    assert result.code == 0 and result.out == ""
    notes = result.err
    for part in (
        "no command /sed, did you mean '/seed'?", "write /seed N", "write a number behind /seed", "seed must be from 0",
        "temperature must be 0", "nothing is left to take back", "nothing is written yet", "is there already",
    ):  # fmt: skip
        assert part in notes, part
    assert taken.read_text() == "mine"
    assert "Traceback" not in notes


def test_what_cannot_be_read_ends_with_two(textmill, tiny_run: Path) -> None:
    latin = textmill("chat", tiny_run, typed=b"caf\xe9\n")
    assert latin.code == 2 and "not UTF-8 in line 1: byte 0xe9" in latin.err
    wrong = textmill("chat", tiny_run, "--temperature=-1")
    assert wrong.code == 2 and "temperature must be 0" in wrong.err


@pytest.fixture
def answering(make_decoder: Callable[..., Decoder], texts: list[str], tmp_path: Path) -> Path:
    """A model folder with a chat template."""
    chatml(texts[:20], tmp_path / "tokenizer")
    tokenizer = Tokenizer.load(tmp_path / "tokenizer")
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, context_length=256)
    save_model_folder(tmp_path / "answering", model, tokenizer, {})
    return tmp_path / "answering"


def test_a_model_with_a_chat_template_answers_in_it(textmill, answering: Path, tmp_path: Path) -> None:
    folder = load(answering)
    talk, answers = [{"role": "system", "content": "Be kind."}], []
    for typed in ("Who are you?", "<|im_end|>", "Bye"):
        talk.append({"role": "user", "content": typed})
        greedy = Sampling(temperature=0)
        answers.append(complete(folder.model, folder.tokenizer, folder.tokenizer.encode_chat(talk), greedy, max_tokens=8))
        talk.append({"role": "assistant", "content": answers[-1]})
    lines = f"Who are you?\n<|im_end|>\n\nBye\n/save {tmp_path / 'talk.txt'}\n/undo\n/again\n".encode()
    words = ["--system", "Be kind.", "--temperature", 0, "--max-tokens", 8]
    result = textmill("chat", answering, *words, typed=lines)
    assert result.code == 0, result.err
    assert result.out == "".join(f"{answer}\n" for answer in [*answers, answers[1]])
    assert "This model answers, in its own chat template" in result.err and "an empty message has no answer" in result.err
    text = (tmp_path / "talk.txt").read_text(encoding="utf-8")
    assert text == "\n\n".join(f"{message['role']}: {message['content']}" for message in talk) + "\n"


def test_in_a_full_context_the_oldest_turns_go_first_and_too_long_a_message_is_said_to_be(textmill, answering: Path) -> None:
    result = textmill("chat", answering, "--max-tokens", 4, typed=b"What is a class?\n" * 20 + b"long " * 300 + b"\nshort\n")
    assert result.code == 0, result.err
    assert "(the model looks back over 256 tokens: it doesn't see the first 1 of " in result.err
    assert "tokens long, and there is room for 251; say it in fewer words" in result.err
    assert len(result.out.splitlines()) >= 21


def test_a_system_text_that_nobody_would_read_is_refused(textmill, tiny_run: Path) -> None:
    result = textmill("chat", tiny_run, "--system", "Be kind.")
    assert result.code == 2 and "--system is for a model with a chat template" in result.err


@pytest.fixture
def tireless(make_decoder: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A model folder that never ends its text, with a context of many seconds' writing."""
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, context_length=100_000)
    with torch.no_grad():
        model.head.weight[tokenizer.eos_id] = 0
    save_model_folder(tmp_path / "tireless", model, tokenizer, {})
    return tmp_path / "tireless"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_in_a_terminal_ctrl_c_stops_the_answer_and_ctrl_d_ends(tireless: Path) -> None:
    import pty

    main, worker = pty.openpty()
    command = [sys.executable, "-m", "textmill", "chat", str(tireless), "--max-tokens", "90000", "--temperature", "0"]
    process = subprocess.Popen(
        command, stdin=worker, stdout=worker, stderr=worker, start_new_session=True, preexec_fn=_own_terminal
    )
    os.close(worker)
    seen = b""

    def read_until(part: bytes) -> None:
        nonlocal seen
        while part not in seen:
            seen += read_some()
        seen = seen.partition(part)[2]

    def read_some() -> bytes:
        if not select.select([main], [], [], 60)[0]:
            pytest.fail(f"the program is silent; it said last: {seen!r}")
        return os.read(main, 4096)

    try:
        read_until(b"> ")
        while b"(Ctrl-D or /quit ends)" not in seen:  # at the prompt nothing is stopped
            os.write(main, b"\x03")  # pressed again, since readline misses one that comes with its prompt
            if select.select([main], [], [], 1)[0]:
                seen += read_some()
        read_until(b"(Ctrl-D or /quit ends)")
        read_until(b"> ")
        os.write(main, b"The class\n")
        read_until(b"The class\r\n")  # a Ctrl-C before that would take the line back
        while len(seen) < 200:
            seen += read_some()
        os.write(main, b"\x03")
        read_until(b"(stopped; what it wrote so far is kept")
        read_until(b"> ")
        os.write(main, b"/undo\n")
        read_until(b"(taken back")
        read_until(b"> ")
        os.write(main, b"\x04")
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(main)


def _own_terminal() -> None:
    """Make the child's standard input its controlling terminal, so that Ctrl-C there is a signal."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
