"""Models of packed weights: every family computes what the rounded weights say, and keeps nothing of torch's own."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from textmill import load
from textmill.formats.model_folder import save_model_folder
from textmill.inference.classify import classify
from textmill.inference.engine import Engine
from textmill.inference.generate import complete
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling
from textmill.models.heads import TaskModel
from textmill.models.language_model import LanguageModel
from textmill.models.recurrent import Cell
from textmill.models.task import Task, TaskConfig
from textmill.native.library import Pool
from textmill.native.linear import PackedEmbedding
from textmill.native.matrices import install, packed_parts
from textmill.native.packing import FORMATS, Format, pack, product, wider

from ..kernels import NATIVE

pytestmark = pytest.mark.usefixtures("kernels")

GREEDY = Sampling(temperature=0.0)


@pytest.fixture(params=["tied", "apart"])
def folder(request: pytest.FixtureRequest, make_decoder: Callable, tokenizer: Any, tmp_path: Path) -> Path:
    torch.manual_seed(3)
    tied = request.param == "tied"
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, tied_embeddings=tied, **NATIVE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    save_model_folder(tmp_path / "model", model, tokenizer, {})
    return tmp_path / "model"


def test_greedy_answers_by_the_kernels_are_those_by_torch(folder: Path) -> None:
    plain, packed = load(folder), load(folder, "float32")
    assert packed.model.packed is not None
    for prompt in ("The class", "a"):
        answers = [complete(each.model, each.tokenizer, prompt, GREEDY, max_tokens=40) for each in (plain, packed)]
        assert answers[0] == answers[1]


@pytest.mark.parametrize("format", ["int8", "int4"])
def test_generate_by_short_weights(folder: Path, format: Format) -> None:
    found = load(folder, format)
    assert complete(found.model, found.tokenizer, "The class", GREEDY, max_tokens=10)
    assert not [name for name, module in found.model.named_modules() if isinstance(module, nn.Linear)]


def test_an_engine_answers_as_generate_does(folder: Path) -> None:
    found = load(folder, "int8")
    engine = Engine(found.model, found.tokenizer, rows=2, memory=10**6)  # packed weights need no room for a copy
    assert "weights in int8" in engine.passes.by
    prompts = ["The class", "a", "If the list"]
    answers = [
        engine.submit(Request(tuple(found.tokenizer.encode_beginning(prompt)), GREEDY, max_tokens=20)) for prompt in prompts
    ]
    while engine.tick():
        pass
    written = ["".join(delta.text for delta in answer.deltas) for answer in answers]
    assert written == [complete(found.model, found.tokenizer, prompt, GREEDY, max_tokens=20) for prompt in prompts]


def test_labels_of_texts_by_packed_bodies(
    make_encoder: Callable, make_recurrent: Callable, tokenizer: Any, tmp_path: Path
) -> None:
    size = {"vocabulary_size": tokenizer.vocabulary_size}
    for body in (make_encoder("bert", **size), make_recurrent(**size), make_recurrent(**size, tied_embeddings=True)):
        config = TaskConfig("sequence", ("a", "b"))
        task, path = Task(config, TaskModel(body, config.head(body.config))), tmp_path / str(id(body))
        save_model_folder(path, body, tokenizer, {}, task=task)
        for format in FORMATS:
            found = load(path, format)
            assert found.task is not None and (format == "float32" or isinstance(found.model.embedding, PackedEmbedding))
            [scores] = classify(found.task, tokenizer, ["The class"])
            [expected] = classify(task, tokenizer, ["The class"])
            assert scores == pytest.approx(expected, abs=1e-4 if format == "float32" else 0.05)


@pytest.fixture
def family(request: pytest.FixtureRequest) -> tuple[LanguageModel, dict[str, Tensor]]:
    """A model of each kind, also of shapes that the kernels don't read whole, with its embeddings tied or apart, and what it is
    given."""
    kind, name, tables = request.param.split()
    sizes: dict[str, Any] = {} if kind == "whole-decoder" else {"head_dim": 12, "feed_forward_width": 72}
    tied = {"tied_embeddings": tables == "tied"}
    torch.manual_seed(2)
    ids = torch.randint(512, (2, 11))
    if kind.endswith("decoder") and name in ("gated", "plain"):
        return request.getfixturevalue("make_decoder")(**(sizes or NATIVE), **tied, gated=name == "gated"), {"inputs": ids}
    if kind == "recurrent":
        return request.getfixturevalue("make_recurrent")(cell=name, **tied), {"inputs": ids}
    if kind == "encoder":
        return request.getfixturevalue("make_encoder")(name, **tied), {"inputs": ids, "lengths": torch.tensor([11, 6])}
    return request.getfixturevalue("make_encoder_decoder")(name, **tied), {"inputs": ids, "source": ids[:, :7]}


def times(weight: Tensor, x: Tensor, format: Format) -> Tensor:
    return product(Pool(1), pack(weight, None, format), x.reshape(-1, x.size(-1))).view(*x.shape[:-1], -1)


def stood_for(weight: Tensor, format: Format) -> Tensor:
    """What packed weights stand for."""
    return pack(weight, None, format).weight()[:, : weight.size(1)].contiguous()


def rounded(x: Tensor) -> Tensor:
    """What short weights are multiplied with: what the unit matrix makes of it, whose one scale is taken out again."""
    unit = torch.eye(x.size(-1))
    return times(unit, x, "int8") / times(unit, unit, "int8")[0, 0]


def reference(model: LanguageModel, format: Format) -> LanguageModel:
    """The model by torch, with what its packed weights stand for, and what those of linear layers are multiplied with."""
    model = copy.deepcopy(model)
    table = model.embedding.weight
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            wide = name == "head" or module.weight is table
            module.weight = nn.Parameter(stood_for(module.weight, wider(format) if wide else format))
            if format != "float32":
                module.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0]),))
        elif isinstance(module, Cell):
            module.input_weight = nn.Parameter(stood_for(module.input_weight, format))
            module.hidden_weight = nn.Parameter(stood_for(module.hidden_weight, format))
    model.embedding.weight = nn.Parameter(stood_for(table, wider(format)))
    return model


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "family",
    [
        *("whole-decoder gated tied", "whole-decoder gated apart", "whole-decoder plain tied", "decoder gated apart"),
        *("decoder gated tied", "decoder plain apart", "encoder bert tied", "encoder bert apart", "encoder modernbert tied"),
        *("encoder-decoder marian tied", "encoder-decoder mbart apart"),
        *("recurrent lstm apart", "recurrent gru apart", "recurrent rnn apart", "recurrent lstm tied"),
    ],
    indirect=True,
)
@torch.no_grad()
def test_every_family_computes_what_its_packed_weights_stand_for(
    family: tuple, format: Format, request: pytest.FixtureRequest
) -> None:
    model, given = family
    plain = reference(model, format)
    expected, expected_logits = plain.hidden(**given), plain.head(plain.hidden(**given))
    install(model, dict(packed_parts(model, model.named_parameters(), format)), format)
    assert not [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Cell)]
    if request.node.callspec.params["family"].endswith("tied") or format != "float32":  # the head's matrix, or one in 8 bits
        assert isinstance(model.embedding, PackedEmbedding)
        assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
        assert max((parameter.numel() for parameter in model.parameters()), default=0) < plain.embedding.weight.numel() / 2
    rows = model.embedding(given["inputs"])
    torch.testing.assert_close(rows, plain.embedding(given["inputs"]), rtol=1e-5, atol=1e-6)
    found = model.hidden(**given)
    # A number on a border may be rounded to its other side; what recurrent cells remember isn't rounded in the reference.
    tolerance = 1e-5 if format == "float32" else 0.08 if model.family == "recurrent" else 0.02
    assert (found - expected).norm() / expected.norm() < tolerance
    assert (model.head(found) - expected_logits).norm() / expected_logits.norm() < tolerance
