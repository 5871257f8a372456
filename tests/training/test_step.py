"""One step: micro-batched = whole, a gradient that isn't finite changes nothing, and kernels don't change what is computed."""

from dataclasses import replace

import pytest
import torch

from textmill.corpus.document import Document
from textmill.tokens.data import TokenData
from textmill.tokens.loader import IGNORED, Loader
from textmill.tokens.plans import BlockPlan
from textmill.tokens.shards import write_shards
from textmill.training.objectives import CausalObjective
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings
from textmill.training.step import Kernels, run_step

WHOLE = Kernels("cpu", threads=1, dtype="float32", attention="fused", micro_batch=8, compile=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory, tokenizer, texts) -> TokenData:
    folder = tmp_path_factory.mktemp("tokens") / "shards"
    folder.mkdir()
    write_shards(folder, tokenizer, (Document(text, str(n), "topics") for n, text in enumerate(texts)))
    return TokenData.open(folder)


def weights_after(
    make_decoder, data: TokenData, kernels: Kernels, document_attention: bool = False, **settings: object
) -> list[torch.Tensor]:
    model = make_decoder()
    rates = {"embedding_learning_rate": 1e-3, "matrix_learning_rate": 1e-3}
    optimizer = Optimizer(model, TrainSettings(steps=1, **rates, **settings))
    loader = Loader(data, BlockPlan(64, 8, document_attention), seed=0)
    for step in range(2):
        batch = loader.batch(step)
        batch.targets[1, 5:60] = IGNORED  # rows that count differently must weigh differently
        batch = replace(batch, tokens=int((batch.targets != IGNORED).sum()))
        runner = kernels.prepare(model)
        run_step(runner, optimizer, CausalObjective(), batch, None, kernels, step, rate=1.0)
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("document_attention", [False, True])
@pytest.mark.parametrize("changes", [{"micro_batch": 4}, {"micro_batch": 1}, {"attention": "eager"}, {"threads": 2},
                                     {"activation_checkpointing": True}])  # fmt: skip
def test_micro_batches_and_kernels_do_not_change_the_step(make_decoder, data, changes, document_attention) -> None:
    whole = weights_after(make_decoder, data, WHOLE, document_attention)
    other = weights_after(make_decoder, data, replace(WHOLE, **changes), document_attention)
    for ours, theirs in zip(whole, other):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_bfloat16_is_close(make_decoder, data) -> None:
    whole = weights_after(make_decoder, data, WHOLE)
    short = weights_after(make_decoder, data, replace(WHOLE, dtype="bfloat16"))
    changed = [(a - b).abs().max() for a, b in zip(whole, short)]
    assert max(changed) < 5e-3 and max(changed) > 0
    assert all(tensor.dtype == torch.float32 for tensor in short)


def test_a_gradient_that_is_not_finite_changes_nothing(make_decoder, data) -> None:
    model = make_decoder()
    optimizer = Optimizer(model, TrainSettings(steps=1))
    loader = Loader(data, BlockPlan(64, 8), seed=0)
    with torch.no_grad():
        model.blocks[0].feed_forward.up.weight[0, 0] = float("inf")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    result = run_step(model, optimizer, CausalObjective(), loader.batch(0), None, WHOLE, 0, rate=1.0)
    assert not result.finite
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("micro_batch", [8, 2])
def test_clipping_bounds_the_gradient_of_the_whole_batch(make_decoder, data, micro_batch: int) -> None:
    """Seen through plain AdamW with a huge epsilon, whose first update is the gradient itself, scaled."""
    loader, kernels = Loader(data, BlockPlan(64, 8), seed=0), replace(WHOLE, micro_batch=micro_batch)
    moved = []
    for limit in (None, 0.5, 1e9):
        model = make_decoder()
        before = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        rates = {"matrix_learning_rate": 1e6, "embedding_learning_rate": 1e6, "weight_decay": 0}
        optimizer = Optimizer(model, TrainSettings(steps=1, optimizer="adamw", clip_norm=limit, **rates))
        optimizer.adamw.epsilon = 1e6
        result = run_step(model, optimizer, CausalObjective(), loader.batch(0), None, kernels, 0, rate=1.0)
        after = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        assert result.clipped == (limit == 0.5) and result.gradient_norm > 0.5
        moved.append(float((after - before).norm()))
    assert moved[0] == pytest.approx(result.gradient_norm, rel=1e-3)
    assert moved[1] == pytest.approx(0.5, rel=1e-3)
    assert moved[2] == moved[0]
