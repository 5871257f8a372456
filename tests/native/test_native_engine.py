"""An engine with the C++ kernels: which models they read, and that answers have the same bits whatever is in the batch."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from textmill.inference.engine import Engine
from textmill.inference.passes import Passes
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling
from textmill.machine.threads import ThreadChoice
from textmill.native import library
from textmill.native.library import NoKernels

from ..kernels import NATIVE

pytestmark = pytest.mark.usefixtures("kernels")


def test_an_answer_has_the_same_bits_alone_and_among_others(make_decoder: Callable, tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, **NATIVE)
    requests = [
        Request(tuple(tokenizer.encode_beginning(text)), Sampling(seed=n), max_tokens=10 + 9 * n, logprobs=3)
        for n, text in enumerate(["The class", "a", "If the expression is a list, then it is " * 4, "Statements are"])
    ]

    def answered(engine: Engine, together: bool) -> list[list[tuple[int, float]]]:
        answers = []
        for request in requests:
            answers.append(engine.submit(request))
            while not together and engine.tick():
                pass
        while engine.tick():
            pass
        return [[(one.token, one.logprob) for delta in answer.deltas for one in delta.logprobs] for answer in answers]

    alone, together = (answered(Engine(model, tokenizer, rows=3), together) for together in (False, True))
    assert alone == together and sum(map(len, alone)) > 60


def test_an_answer_has_the_same_bits_by_any_number_of_threads(
    make_decoder: Callable, tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, **NATIVE)
    prompt = tuple(tokenizer.encode_beginning("If the expression is a list, then it is " * 4))

    def answered(counts: list[int]) -> list[tuple[int, float]]:
        engine = Engine(model, tokenizer, rows=2)
        engine.passes.workers.choice = ThreadChoice(counts[0])
        answer = engine.submit(Request(prompt, Sampling(seed=3), max_tokens=12, logprobs=1))
        while engine.tick():
            engine.passes.workers.choice = ThreadChoice(counts[len(answer.read) % len(counts)])
        return [(one.token, one.logprob) for delta in answer.deltas for one in delta.logprobs]

    assert len(alone := answered([1])) > 5
    with caplog.at_level("INFO", logger="textmill"):
        assert answered([3, 1, 2]) == alone
    assert "threads read faster than" in caplog.text


def test_who_is_not_read_by_the_kernels_is_told_why(make_decoder: Callable, make_recurrent: Callable, tokenizer) -> None:
    size = {"vocabulary_size": tokenizer.vocabulary_size}
    model = make_decoder(**size, **NATIVE)
    assert Passes(model, model.new_slots(2, 64), memory=10**9).native is not None
    assert "bytes" in Passes(model, model.new_slots(2, 64), memory=1000).why_not
    other = make_recurrent(**size)
    assert "decoders" in Passes(other, other.new_slots(2, 64), memory=10**9).why_not


def test_a_library_that_is_older_than_its_sources_is_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in Path(library.__file__).parent.glob("_avx*so"):
        shutil.copy(path, tmp_path)
        os.utime(tmp_path / path.name, (0, 0))
    (tmp_path / "decoder.cpp").touch()
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    with pytest.raises(NoKernels, match=r"was built from older sources; `pip install -e \.` builds it anew"):
        library.library.__wrapped__()


def test_a_library_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "_avx2.dev.so").write_bytes(b"cut off")
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    with pytest.raises(NoKernels, match=r"avx512 wasn't built; avx2 can't be loaded: "):
        library.library.__wrapped__()
