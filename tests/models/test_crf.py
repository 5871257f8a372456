"""The chain of labels is what counting all paths says it is: its likelihood, its best path, its probabilities, its gradients.
What isn't asked for changes nothing."""

import itertools
import json
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from textmill.errors import ModelError
from textmill.formats.layouts import layout_for
from textmill.formats.model_folder import load_model_folder, save_model_folder
from textmill.models.crf import Chain
from textmill.models.encoder import Encoder
from textmill.models.heads import ChainHead, TaskModel
from textmill.models.task import Task, TaskConfig
from textmill.tokens.loader import IGNORED

BIO = ("O", "B-a", "I-a", "B-b", "I-b")
BMES = ("O", "B-a", "M-a", "E-a", "S-a")
PLAIN = ("noun", "verb", "mark")


def chain_of(labels: Sequence[str]) -> Chain:
    """A chain in float64 with random scores."""
    chain = Chain(len(labels)).exclude(labels).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in chain.parameters():
        parameter.data.normal_(generator=generator)
    return chain


def emissions_of(labels: Sequence[str], rows: int = 1, words: int = 4) -> Tensor:
    return torch.randn(rows, words, len(labels), dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def all_paths(chain: Chain, emissions: Tensor) -> dict[tuple[int, ...], Tensor]:
    """Every path of a sentence, (T, L), with its score, added up place by place."""
    between, first, last = chain.scores()
    scores = {}
    for path in itertools.product(range(emissions.size(1)), repeat=len(emissions)):
        score = first[path[0]] + last[path[-1]] + sum(emissions[place, label] for place, label in enumerate(path))
        scores[path] = score + sum(between[one, other] for one, other in itertools.pairwise(path))
    return scores


@pytest.mark.parametrize("labels", [BIO, BMES, PLAIN], ids=["BIO", "BMES", "no scheme"])
def test_it_is_what_counting_all_paths_says(labels: tuple[str, ...]) -> None:
    chain, emissions = chain_of(labels).requires_grad_(False), emissions_of(labels)
    scores = all_paths(chain, emissions[0])
    whole = torch.logsumexp(torch.stack(list(scores.values())), dim=0)
    asked = torch.ones(1, 4, dtype=torch.bool)
    torch.testing.assert_close(chain.log_partition(emissions, asked)[0], whole)
    best = max(scores, key=lambda path: float(scores[path]))
    assert chain.best_path(emissions[0]) == list(best)
    for path in [best, (0, 0, 0, 0)]:
        torch.testing.assert_close(chain.nats(emissions, torch.tensor([path]), asked)[0], whole - scores[path])
    spans = [(begin, best[begin:end]) for begin in range(4) for end in range(begin + 1, 5)]
    counted = [
        float(
            sum(((scores[path] - whole).exp() for path in scores if path[begin : begin + len(span)] == span), torch.tensor(0.0))
        )
        for begin, span in spans
    ]
    assert chain.span_probabilities(emissions[0], spans) == pytest.approx(counted)


@pytest.mark.parametrize(
    ("labels", "allowed"),
    [
        (BIO, {"O O", "O B-a", "B-a I-a", "I-a I-a", "I-a O", "B-a B-a", "B-a B-b", "I-a B-b", "B-b O"}),
        (BMES, {"O S-a", "B-a E-a", "B-a M-a", "M-a M-a", "M-a E-a", "E-a O", "E-a B-a", "S-a S-a", "S-a B-a"}),
    ],
)
def test_what_the_scheme_forbids_is_excluded(labels: tuple[str, ...], allowed: set[str]) -> None:
    """Paths that the scheme forbids have no probability, and no score makes one of them the best."""
    chain = chain_of(labels).requires_grad_(False)
    whole = chain.not_between, chain.not_first, chain.not_last
    names = {f"{one} {other}" for one, other in itertools.product(labels, repeat=2)}
    excluded = {f"{labels[one]} {labels[other]}" for one, other in whole[0].nonzero().tolist()}
    assert not allowed & excluded
    assert {"O I-a", "B-b I-a"} & names <= excluded
    assert {"O M-a", "B-a O", "B-a S-a", "E-a M-a", "S-a E-a"} & names <= excluded or labels is BIO
    asked = torch.ones(1, 2, dtype=torch.bool)
    emissions = torch.zeros(1, 2, len(labels), dtype=torch.float64)
    total = 0.0
    for one, other in itertools.product(range(len(labels)), repeat=2):
        probability = float((-chain.nats(emissions, torch.tensor([[one, other]]), asked)).exp())
        forbidden = bool(whole[0][one, other] or whole[1][one] or whole[2][other])
        assert (probability == 0) is forbidden
        total += probability
        strong = torch.zeros(2, len(labels), dtype=torch.float64)
        strong[0, one] = strong[1, other] = 100.0
        assert (chain.best_path(strong) == [one, other]) is not forbidden
    assert total == pytest.approx(1)


def test_gradients_are_those_of_differences() -> None:
    chain, emissions = chain_of(BIO), emissions_of(BIO, rows=2).requires_grad_()
    labels = torch.tensor([[1, 2, 0, 3], [0, IGNORED, 1, 2]])

    def nats(emissions: Tensor, between: Tensor, first: Tensor, last: Tensor) -> Tensor:
        own = {"between": between, "first": first, "last": last}
        return torch.func.functional_call(
            _Nats(chain), {f"chain.{name}": value for name, value in own.items()}, (emissions, labels)
        )

    assert torch.autograd.gradcheck(nats, (emissions, *chain.parameters()))


class _Nats(torch.nn.Module):
    def __init__(self, chain: Chain):
        super().__init__()
        self.chain = chain

    def forward(self, emissions: Tensor, labels: Tensor) -> Tensor:
        return self.chain.nats(emissions, labels, labels != IGNORED)


def test_what_is_not_asked_for_changes_nothing() -> None:
    """Places between words, before them and behind them, and rows of padding alone."""
    chain, emissions = chain_of(BIO), emissions_of(BIO, rows=3, words=7)
    labels = torch.tensor([[1, 2, 0, 3, 4, 0, 1], [-100, 1, -100, 2, -100, 0, -100], [-100] * 7])
    found = chain.nats(emissions, labels, labels != IGNORED)
    for row in range(2):
        asked = labels[row] != IGNORED
        alone = chain.nats(emissions[row : row + 1, asked], labels[row : row + 1, asked], asked[None, asked])
        torch.testing.assert_close(found[row], alone[0])
    assert found[2] == 0


def test_a_head_counts_labels_and_refuses_weights(make_encoder) -> None:
    body: Encoder = make_encoder("bert")
    task = TaskConfig("chain", BIO)
    head = task.head(body.config)
    assert isinstance(head, ChainHead)
    head.initialise(0)
    model = TaskModel(body, head).eval()
    targets = torch.tensor([[IGNORED, 1, 2, 0], [IGNORED, 0, IGNORED, IGNORED]])
    inputs = torch.ones_like(targets)
    loss = model(inputs, targets, torch.tensor([4, 2]))
    # All that the scheme allows is as likely as all else: of three words' paths 31 aren't begun or gone on with by I.
    paths = sum(
        not any(after[0] == "I" and before[1:] != after[1:] for before, after in itertools.pairwise(("O", *path)))
        for path in itertools.product(BIO, repeat=3)
    )
    torch.testing.assert_close(loss, torch.tensor([float(paths), 3.0]).log().sum())
    assert head.count(targets) == 4
    with pytest.raises(ValueError, match="together"):
        head.loss(model(inputs), targets, weights=torch.ones(5))


def test_a_folder_keeps_it_and_no_stock_class_claims_it(make_encoder, tokenizer, tmp_path) -> None:
    body, config = make_encoder("bert"), TaskConfig("chain", BIO, characters=True)
    task = Task(config, TaskModel(body, config.head(body.config)))
    for parameter in task.model.head.parameters():
        parameter.data.normal_()
    save_model_folder(tmp_path / "model", body, tokenizer, {}, task=task)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["architectures"] == ["TextmillForChainOfLabels"]
    with pytest.raises(ModelError, match="no class of bert has a head of the kind chain"):
        layout_for(body.config, "bert", config)
    read = load_model_folder(tmp_path / "model").task
    assert read is not None and read.config == config
    for name, tensor in task.model.head.state_dict().items():
        assert torch.equal(read.model.head.state_dict()[name], tensor)
    assert torch.equal(read.model.head.chain.not_between, Chain(5).exclude(BIO).not_between)  # type: ignore[union-attr, arg-type]
