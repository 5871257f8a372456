"""An encoder–decoder learns what was cut out of a text, whatever the micro-batch, and from its own initial weights."""

import dataclasses
from pathlib import Path

import pytest
import torch

from textmill.corpus.document import Document
from textmill.models.architectures import ARCHITECTURES
from textmill.models.count import count_spans
from textmill.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from textmill.score import BITS_PER_SPAN_TOKEN
from textmill.tokens.data import TokenData
from textmill.tokens.loader import IGNORED, Batch, Loader
from textmill.tokens.pairs import PairBatch
from textmill.tokens.plans import BlockPlan
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.shards import write_shards
from textmill.tokens.spans import MARKS, SpanCorruption
from textmill.tokens.special_tokens import PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer
from textmill.training.loop import Training, train
from textmill.training.optimizers import Optimizer
from textmill.training.sequence_to_sequence import SequenceToSequenceObjective, SpanCorruptionObjective
from textmill.training.settings import TrainSettings
from textmill.training.step import Kernels, run_step

KERNELS = Kernels("cpu", 1, "float32", "fused", micro_batch=6, compile=False)


@pytest.fixture(scope="module")
def marked(texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(kind="byte"), texts, special=[PAD, *MARKS])


def row_batch(tokenizer: Tokenizer, texts: list[str], rows: int = 6, length: int = 60) -> Batch:
    """Rows of text, in each of which a document ends."""
    ids = [[*tokenizer.encode(text[:20]), tokenizer.eos_id, *tokenizer.encode(text[20:100])][:length] for text in texts[:rows]]
    inputs = torch.tensor(ids)
    return Batch(inputs, inputs, inputs, None, inputs[:, 0], inputs[:, 0] > 0, inputs.numel())


def objective(tokenizer: Tokenizer, seed: int = 0) -> SpanCorruptionObjective:
    task = SpanCorruption(tokenizer)
    return SpanCorruptionObjective(task, task.pad_id, share=0.15, seed=seed)


def tiny(architecture: str, tokenizer: Tokenizer) -> EncoderDecoder:
    sizes = {"layers": 2, "width": 32, "heads": 2, "key_value_heads": 2, "head_dim": 16, "feed_forward_width": 64}
    shape = {"vocabulary_size": tokenizer.vocabulary_size, "context_length": 60, **sizes}
    model = EncoderDecoder(EncoderDecoderConfig(**{**ARCHITECTURES[architecture].differs, **shape}))
    model.initialise(seed=1)
    return model


def equal(one: PairBatch, other: PairBatch) -> bool:
    names = [field.name for field in dataclasses.fields(one)]
    return all(torch.equal(torch.as_tensor(getattr(one, name)), torch.as_tensor(getattr(other, name))) for name in names)


def test_a_pair_holds_the_row_and_is_a_function_of_seed_step_and_row(marked: Tokenizer, texts: list[str]) -> None:
    batch = row_batch(marked, texts)
    prepared = objective(marked).prepare(batch, step=3)
    assert equal(prepared, objective(marked).prepare(batch, step=3))
    assert not equal(prepared, objective(marked).prepare(batch, step=4))
    assert not equal(prepared, objective(marked, seed=1).prepare(batch, step=3))
    assert prepared.source.size(1) <= 60 and prepared.inputs.size(1) <= 60
    assert (prepared.source[:, 0] == marked.bos_id).all()
    assert (prepared.source == marked.eos_id).sum() == 2 * len(prepared.source)  # the frame's, and the document's end within
    for inputs, targets in zip(prepared.inputs, prepared.targets):
        said = targets[targets != IGNORED]
        assert inputs[0] == marked.pad_id and torch.equal(inputs[1 : len(said)], said[:-1])
        assert said[0] == marked.span_ids[0] and said[-1] == marked.eos_id


@pytest.mark.parametrize("architecture", ["marian", "mbart"])
def test_micro_batches_give_the_gradient_of_the_whole(
    marked: Tokenizer, texts: list[str], architecture: str, make_encoder_decoder
) -> None:
    model = make_encoder_decoder(architecture, vocabulary_size=marked.vocabulary_size)
    learn, gradients = objective(marked), []
    whole = learn.prepare(row_batch(marked, texts), step=0)
    for size in (6, 2, 1):
        model.zero_grad()
        for start in range(0, 6, size):
            loss, _, _ = learn(model, whole.rows(start, start + size), None)
            (loss / learn.count(whole)).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for parts in gradients[1:]:
        for part, at_once in zip(parts, gradients[0]):
            torch.testing.assert_close(part, at_once, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("architecture", ["marian", "mbart"])
def test_a_fresh_model_learns_pairs_by_heart(marked: Tokenizer, texts: list[str], architecture: str) -> None:
    model, pairs = tiny(architecture, marked), objective(marked).prepare(row_batch(marked, texts), step=0)
    optimizer = Optimizer(model, TrainSettings(steps=10))
    losses = []
    for step in range(60):
        result = run_step(model, optimizer, SequenceToSequenceObjective(), pairs, None, KERNELS, step, rate=0.3)
        losses.append(result.loss)
    assert losses[-1] < 0.3 * losses[0] and losses[0] < 1.3 * torch.tensor(marked.vocabulary_size).log()


class PowerCut(Exception):
    """Ends a training without a word, as a kill does."""


class CutOff(SpanCorruptionObjective):
    """The real one, cut off after so many calls."""

    calls = 0

    def __call__(self, *arguments):
        self.calls -= 1
        if self.calls == 0:
            raise PowerCut
        return super().__call__(*arguments)


def test_broken_off_it_ends_with_the_same_bits(marked: Tokenizer, texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    write_shards(tmp_path / "tokens", marked, (Document(text, str(n), "topics") for n, text in enumerate(texts[:30])))
    data = TokenData.open(tmp_path / "tokens")
    settings = TrainSettings(
        steps=8, batch_size=4, micro_batch=2, checkpoint_steps=3, dropout=0.1, warmup_steps=2, validations=0, threads=1,
        dtype="float32", attention="fused", compile="off", activation_checkpointing="on",
    )  # fmt: skip

    def run(name: str, calls: int = 0) -> bytes:
        (tmp_path / name).mkdir(exist_ok=True)
        model, task = tiny("marian", marked), SpanCorruption(marked)
        model.set_dropout(settings.dropout)
        learn = CutOff(task, task.pad_id, 0.15, settings.seed)
        learn.calls = calls
        loader = Loader(data, BlockPlan(60, settings.batch_size), settings.seed)
        train(
            Training(
                settings, model, learn, loader, count_spans(model.config, 0.15), "guesses", BITS_PER_SPAN_TOKEN, 1.0,
                lambda model: 0.0, lambda model: 0.01, lambda model: "", tmp_path / name, lineage={},
            )
        )  # fmt: skip
        return (sorted((tmp_path / name / "checkpoints").glob("step-*"))[-1] / "model.safetensors").read_bytes()

    whole = run("whole")
    for calls in (10 + 9, 10 + 5):  # those of calibration come first
        with pytest.raises(PowerCut):
            run("broken", calls)
    assert run("broken") == whole
