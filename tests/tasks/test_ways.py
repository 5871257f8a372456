"""Ways of learning on the one loop: it stops early and keeps the best, layers have their own rates, rare labels weigh more, a
frozen body stays as it was, and low ranks leave plain weights behind."""

import json
import os
import random
import signal
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from textmill.formats.model_folder import load_model_folder
from textmill.interruption import Stopped
from textmill.models.architectures import build
from textmill.models.heads import TaskModel
from textmill.models.settings import ModelSettings
from textmill.models.task import TaskConfig, body_config
from textmill.tasks import Classifier, Classify
from textmill.tasks.learning import rate_factors
from textmill.tasks.settings import FROM_SCRATCH, LEARNT_BEFORE, LearnSettings
from textmill.tokens.texts import TextTokens, text_batch
from textmill.training.labels import LabelObjective, balanced_weights
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings

from .test_classify import sentences, small


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def task_model(architecture: str = "bert", layers: int = 2) -> TaskModel:
    settings = ModelSettings(architecture=architecture, preset="0.5m", layers=layers, width=32, context_length=16)
    config = body_config(settings.config(64))
    body, head = build(config), TaskConfig("sequence", ("a", "b")).head(config)
    body.initialise(0)
    head.initialise(0)
    return TaskModel(body, head)


def test_a_training_that_gets_no_better_stops_and_keeps_the_best(tmp_path: Path) -> None:
    drawn = random.Random(0)
    noise = [
        f"{drawn.choice(('one', 'other'))} {line.partition(' ')[2]} {number}" for number, line in enumerate(sentences(80, 0))
    ]
    recipe = small("lstm", epochs=30, patience=2, learning_rate=0.05)  # by heart, not by rule
    model = Classify(recipe).train(None, written(tmp_path / "noise.txt", noise), out=tmp_path / "run")
    training = model.folder.lineage["training"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    bits = {line["step"]: line["bits_per_label"] for line in lines if line["kind"] == "validation"}
    best = min(bits, key=lambda step: bits[step])
    assert training["stopped_early"] and len(bits) < 30
    assert list(bits).index(best) == len(bits) - 1 - 2
    assert training["weights"]["kind"] == "best" and training["weights"]["step"] == best


@pytest.mark.parametrize("architecture", ["bert", "qwen3", "lstm"])
def test_each_layer_has_its_share_of_the_learning_rate(architecture: str) -> None:
    model = task_model(architecture)
    learn = LearnSettings(layer_decay=0.5, learning_rate=1e-4, head_learning_rate=1e-3)
    factors = rate_factors(model, learn, LEARNT_BEFORE)
    for name, _ in model.named_parameters():
        if name.startswith("head."):
            assert factors[name] == pytest.approx(10.0)
        elif "blocks.1." in name or name.startswith("body.norm."):
            assert factors[name] == 1.0
        elif "blocks.0." in name:
            assert factors[name] == 0.5
        else:
            assert factors[name] == 0.25, name
    assert all(name.startswith("head.") for name in rate_factors(model, learn, FROM_SCRATCH))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_parameter_moves_by_its_factor_and_by_zero_not_at_all(kind: str) -> None:
    models = [task_model(), task_model()]
    settings = TrainSettings(steps=1, optimizer=kind, matrix_learning_rate=1e-3, embedding_learning_rate=1e-3, weight_decay=0.1)
    names = [name for name, _ in models[0].named_parameters()]
    factors = {name: (0.0, 0.25, 1.0)[place % 3] for place, name in enumerate(names)}
    before = {name: parameter.detach().clone() for name, parameter in models[0].named_parameters()}
    for model, given in zip(models, (None, factors)):
        gradients = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=gradients)
        Optimizer(model, settings, given).step(0, rate=1.0)
    for (name, plain), (_, factored) in zip(models[0].named_parameters(), models[1].named_parameters()):
        if factors[name] == 0:
            assert torch.equal(factored, before[name]), name
        else:
            moved = factored.detach() - before[name]
            torch.testing.assert_close(moved, factors[name] * (plain.detach() - before[name]), atol=2e-7, rtol=1e-3)


def test_the_balanced_loss_is_what_one_reckons_by_hand() -> None:
    model, labels = task_model().eval(), torch.tensor([0, 0, 0, 1])
    weights = balanced_weights(labels, 2)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0]) and float(weights[labels].mean()) == pytest.approx(1.0)
    with torch.no_grad():
        model.head.output.weight.normal_(0, 1, generator=torch.Generator().manual_seed(0))
    batch = text_batch([TextTokens(torch.arange(3 + n).numpy(), label.numpy()) for n, label in enumerate(labels)])
    loss, _, shown = LabelObjective(model.head, weights)(model, batch, None)
    logs = F.log_softmax(model(batch.inputs, lengths=batch.lengths), dim=-1)
    own = torch.stack([-logs[row, label] for row, label in enumerate(labels)])
    torch.testing.assert_close(loss, (weights[labels] * own).sum())
    torch.testing.assert_close(shown["nats"], own.sum().detach())  # what is shown doesn't change with the weights


def test_balanced_weights_find_the_rare_label(tmp_path: Path) -> None:
    lines = []
    for number in range(360):  # of what may be rare, a third is
        unclear, places = number % 2, f"{number % 7} {number % 11} {number % 13}"
        lines.append(f"{'rare' if number % 6 == 1 else 'common'} {'perhaps' if unclear else 'surely'} {places}")
    data, recall = written(tmp_path / "data.txt", lines), {}
    asked = [f"perhaps {number % 6} {number % 10} {number % 12}" for number in range(400, 420)]
    for weights in ("none", "balanced"):
        recipe = small("lstm", epochs=2, class_weights=weights)
        model = Classify(recipe).train(None, data, out=tmp_path / weights)
        recall[weights] = sum(found.label == "rare" for found in model.predict(asked)) / len(asked)
        assert model("surely 3 2 1").label == "common"
    assert recall["balanced"] >= recall["none"] + 0.5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which an encoder has learnt something."""
    folder = tmp_path_factory.mktemp("base")
    Classify(small("bert", epochs=2)).train(None, written(folder / "data.txt", sentences(100, 0)), out=folder / "run")
    return folder / "run"


def body_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_model_folder(folder).model.state_dict()


def test_with_the_head_alone_the_body_stays_to_the_bit(base: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "data.txt", sentences(100, 2))
    Classify(small("bert", way="head", epochs=2)).train(str(base), data, out=tmp_path / "run")
    before, after = body_of(base), body_of(tmp_path / "run")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    heads = [load_model_folder(folder).task.model.head.state_dict() for folder in (base, tmp_path / "run")]  # type: ignore[union-attr]
    assert not torch.equal(heads[0]["output.weight"], heads[1]["output.weight"])


@pytest.mark.parametrize("embeddings", [False, True])
def test_low_ranks_leave_plain_weights_behind(base: Path, tmp_path: Path, embeddings: bool) -> None:
    data = written(tmp_path / "data.txt", sentences(100, 2))
    recipe = small("bert", way="lora", rank=2, epochs=3, adapt_embeddings=embeddings, learning_rate=0.01)
    model = Classify(recipe).train(str(base), data, out=tmp_path / "run")
    before, after = body_of(base), body_of(tmp_path / "run")
    assert {name: tensor.shape for name, tensor in before.items()} == {name: tensor.shape for name, tensor in after.items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("blocks." in name or (embeddings and "embedding" in name) for name in changed)
    assert embeddings == any("embedding" in name for name in changed)
    for name in changed:  # by no more than the rank
        assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-3) <= 2, name
    saved = Classifier.load(tmp_path / "run" / "model")("I saw a dog today again")
    assert saved.probabilities == pytest.approx(model("I saw a dog today again").probabilities)


def test_a_stopped_training_goes_on_with_the_same_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textmill.tasks import learning

    data, bits = written(tmp_path / "data.txt", sentences(80, 0)), learning.mean_bits

    def asked_to_stop(*arguments: object) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return bits(*arguments)  # type: ignore[arg-type]

    for name in ("whole", "stopped"):
        task = Classify(small("lstm", epochs=3, augment=2, augment_share=0.3))
        if name == "stopped":
            with monkeypatch.context() as patched, pytest.raises(Stopped):
                patched.setattr(learning, "mean_bits", asked_to_stop)
                task.train(None, data, out=tmp_path / name)
        task.train(None, data, out=tmp_path / name)
    whole, stopped = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped
