"""The loop with everything on: broken off anywhere and gone on with, prolonged, stopped early, it ends with the same bits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from textmill.corpus.document import Document
from textmill.errors import TrainingError
from textmill.files import read_json, read_sealed, write_json, write_sealed
from textmill.machine.threads import ThreadChoice
from textmill.models.count import count
from textmill.models.loss import LossTerms
from textmill.score import BITS_PER_BYTE
from textmill.tokens.data import TokenData
from textmill.tokens.loader import Loader
from textmill.tokens.plans import BlockPlan, StreamPlan
from textmill.tokens.shards import write_shards
from textmill.training import step_threads
from textmill.training.loop import Training, train
from textmill.training.objectives import CausalObjective
from textmill.training.settings import TrainSettings
from textmill.training.summary import TrainingSummary

EVERYTHING = {
    "batch_size": 8, "batch_schedule": [[0.3, 4]], "context_schedule": [[0.5, 32]], "warmup_steps": 3, "dropout": 0.1,
    "l1": 0.001, "label_smoothing": 0.05, "z_loss": 1e-4, "clip_norm": 0.8, "averaging": 0.1, "weight_decay": 0.2,
    "decay_fraction": 0.4, "validations": 6, "patience": 4, "checkpoint_steps": 7, "activation_checkpointing": "on",
    "threads": 1, "dtype": "float32", "attention": "fused", "micro_batch": 4, "compile": "off",
}  # fmt: skip


class PowerCut(Exception):
    """Ends a training without a word, as a kill does."""


class Objective(CausalObjective):
    """The real one, cut off after so many calls."""

    def __init__(self, calls: float):
        super().__init__(LossTerms(0.05, 1e-4))
        self.calls = calls

    def __call__(self, *arguments):
        self.calls -= 1
        if self.calls < 0:
            raise PowerCut
        return super().__call__(*arguments)


@pytest.fixture(scope="module")
def data(tmp_path_factory, tokenizer, texts) -> TokenData:
    folder = tmp_path_factory.mktemp("tokens") / "shards"
    folder.mkdir()
    write_shards(folder, tokenizer, (Document(text, str(n), "topics") for n, text in enumerate(texts)))
    return TokenData.open(folder)


@pytest.fixture
def run(make_decoder, make_recurrent, data, tmp_path: Path) -> Callable[..., TrainingSummary]:
    """Trains in a folder of that name, from where it was left."""

    def run(
        name: str,
        calls: float = float("inf"),
        validate: Callable | None = None,
        learning_rate: float = 0.01,
        recurrent: bool = False,
        **changes: object,
    ) -> TrainingSummary:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        model = make_recurrent(width=32) if recurrent else make_decoder(layers=1, width=32, heads=2, key_value_heads=1)
        settings = TrainSettings(**{"steps": 40, "embedding_learning_rate": learning_rate, **EVERYTHING, **changes})
        model.set_dropout(settings.dropout, settings.weight_dropout)
        streams = recurrent and settings.plan != "blocks"
        plan = StreamPlan(16, settings.batch_size) if streams else BlockPlan(64, settings.batch_size)
        loader = Loader(data, plan, settings.seed)
        held_out = loader.batch(10_000)

        def bits(model) -> float:
            return float(model.token_nats(held_out.inputs, held_out.targets).mean())

        return train(
            Training(
                settings,
                model,
                Objective(calls),
                loader,
                count(model.config),
                "writes",
                BITS_PER_BYTE,
                3.0,
                validate or bits,
                lambda model: 0.01,
                lambda model: "",
                folder,
                lineage={},
            )
        )

    return run


def records(folder: Path) -> list[dict]:
    """What was recorded, without what a clock gave."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    clock = ("seconds", "tokens_per_second", "share_of_peak")
    return [{key: value for key, value in line.items() if key not in clock} for line in lines if line["kind"] != "sample"]


def last_tensors(folder: Path) -> dict[str, bytes]:
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    return {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}


def test_broken_off_anywhere_it_ends_with_the_same_bits(run, tmp_path: Path) -> None:
    whole = run("whole")
    assert 0 < whole.clipped_steps < 40, "the test wants steps on both sides of the limit"
    for calls in (40, 23, 31, 9):
        with pytest.raises(PowerCut):
            run("broken", calls=calls)
    broken = run("broken")
    assert broken.resumed_from > 0
    assert records(tmp_path / "broken") == records(tmp_path / "whole")
    tensors = last_tensors(tmp_path / "whole")
    assert set(tensors) == {"model.safetensors", "optimizer.safetensors", "average.safetensors"}
    assert last_tensors(tmp_path / "broken") == tensors
    assert broken.weights == whole.weights and set(whole.weights.validation) >= {"last", "averaged"}
    assert (broken.clipped_steps, broken.tokens, broken.epochs) == (whole.clipped_steps, whole.tokens, whole.epochs)


def test_recurrent_rows_remember_across_a_kill(run, tmp_path: Path) -> None:
    changes = {"recurrent": True, "batch_schedule": [], "context_schedule": [], "weight_dropout": 0.2, "attention": "auto"}
    run("whole", **changes)
    for calls in (25, 31, 14):
        with pytest.raises(PowerCut):
            run("broken", calls=calls, **changes)
    assert run("broken", **changes).resumed_from > 0
    assert records(tmp_path / "broken") == records(tmp_path / "whole")
    tensors = last_tensors(tmp_path / "whole")
    assert "carry.safetensors" in tensors
    assert last_tensors(tmp_path / "broken") == tensors
    # What is remembered matters: without it the same steps end elsewhere.
    with pytest.raises(PowerCut):
        run("forgetful", calls=40, **changes)
    newest = sorted((tmp_path / "forgetful" / "checkpoints").glob("step-*"))[-1]
    state = read_sealed(newest / "state.json")
    del state["fingerprint"], state["sha256"]["carry.safetensors"]
    write_sealed(newest / "state.json", state)
    run("forgetful", **changes)
    assert last_tensors(tmp_path / "forgetful") != tensors


def test_recurrent_rows_of_changing_sizes_begin_anew(run, tmp_path: Path) -> None:
    summary = run("blocks", recurrent=True, attention="auto", plan="blocks")
    assert summary.steps == 40 and summary.skipped_steps == 0


def test_prolonged_is_long_from_the_start(run, tmp_path: Path) -> None:
    run("long", steps=80)
    run("grown", steps=40)
    assert run("grown", steps=80).resumed_from == 12  # where the batch would grow in the shorter one
    steps = [[line for line in records(tmp_path / name) if line["kind"] == "step"] for name in ("grown", "long")]
    assert steps[0] == steps[1]
    assert last_tensors(tmp_path / "grown") == last_tensors(tmp_path / "long")


def test_out_of_patience_it_stops_and_keeps_the_best(run, tmp_path: Path) -> None:
    course = [5.0, 4.0, 4.5, 4.2, 4.1, 3.0]

    def validate_by(values: list[float]):
        remaining = iter(values)
        return lambda model: next(remaining)

    # The last two values are of the final choice.
    summary = run("early", validate=validate_by([*course[:4], 4.3, 4.4]), patience=2, averaging=0.2)
    assert summary.stopped_early and summary.steps == 27
    assert (summary.weights.kind, summary.weights.step) == ("best", 14)
    assert (tmp_path / "early" / "checkpoints" / "step-00000014" / "model.safetensors").is_file()
    # Asked again it has nothing to do; with more patience it goes on from there.
    assert run("early", validate=validate_by([4.3, 4.4]), patience=2, averaging=0.2).steps == 27
    longer = run("early", validate=validate_by([*course[4:], 3.0, 4.3]), patience=9, averaging=0.2)
    assert longer.resumed_from == 27 and longer.steps == 40 and not longer.stopped_early
    assert (longer.weights.kind, longer.weights.step) == ("last", 40)


def test_a_training_that_diverges_says_what_to_try(run) -> None:
    with pytest.raises(TrainingError, match=r"train.matrix_learning_rate=0.015 .*train.embedding_learning_rate=5e\+29"):
        run("wild", learning_rate=1e30, clip_norm=None)


class Crowded(ThreadChoice):
    """The real one, as it chooses where more than one thread takes four times as long as one."""

    def measure(self, work: float, seconds: float) -> None:
        super().measure(work, work * (4.0 if self.count > 1 else 1.0))


class Steady(ThreadChoice):
    """The real one where all is well."""

    def measure(self, work: float, seconds: float) -> None:
        pass


def test_changes_of_threads_are_told_and_recorded_and_made_again(run, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(step_threads, "usable_cores", lambda: 2)
    monkeypatch.setattr(step_threads, "ThreadChoice", Crowded)
    for calls in (40, 23, 31):
        with pytest.raises(PowerCut):
            run("broken", calls=calls, threads="adapt")
    run("broken", threads="adapt")
    choices = read_json(tmp_path / "broken" / "choices.json")
    told, changes = capsys.readouterr(), dict(choices["thread_changes"])
    assert changes and set(changes.values()) <= {1, 2}
    for step, threads in changes.items():
        assert f"from step {step + 1} on {threads} threads" in told.out + told.err

    monkeypatch.setattr(step_threads, "ThreadChoice", Steady)
    (tmp_path / "whole").mkdir()
    write_json(tmp_path / "whole" / "choices.json", choices)
    run("whole", threads="adapt")
    assert records(tmp_path / "broken") == records(tmp_path / "whole")
    assert last_tensors(tmp_path / "broken") == last_tensors(tmp_path / "whole")
    expected = choices["kernels"]["threads"]
    for line in records(tmp_path / "whole"):
        if line["kind"] == "step":
            expected = changes.get(line["step"] - 1, expected)
            assert line["threads"] == expected


def test_without_adapting_the_threads_stay(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(step_threads, "ThreadChoice", Crowded)
    run("kept", threads=2)
    assert read_json(tmp_path / "kept" / "choices.json")["thread_changes"] == []
    assert {line["threads"] for line in records(tmp_path / "kept") if line["kind"] == "step"} == {2}


def test_a_plan_that_was_measured_too_slow_is_made_anew_before_the_decay(run, tmp_path: Path, capsys) -> None:
    changes = {"steps": 70, "batch_schedule": [], "context_schedule": [], "patience": None}
    run("measured", **{**changes, "steps": 1})
    choices = read_json(tmp_path / "measured" / "choices.json")
    crowded = {**choices, "seconds_per_step": 100 * choices["seconds_per_step"], "timed_steps": {"100s": 40}}
    (tmp_path / "anew").mkdir()
    write_json(tmp_path / "anew" / "choices.json", crowded)
    assert run("anew", time="100s", **changes).steps == 70
    assert read_json(tmp_path / "anew" / "choices.json")["timed_steps"]["100s"] >= 70
    assert "70 fit into 100s instead of 40" in "".join(capsys.readouterr())
    run("whole", **changes)
    assert last_tensors(tmp_path / "anew") == last_tensors(tmp_path / "whole")
