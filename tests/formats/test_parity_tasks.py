"""A folder with a task's head gives the outputs of transformers' class for it, in both directions, with its labels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from textmill.errors import ModelError
from textmill.formats.model_folder import load_model_folder, save_model_folder
from textmill.formats.transfer import export_folder, import_folder
from textmill.models.heads import TaskModel
from textmill.models.language_model import LanguageModel
from textmill.models.task import Task, TaskConfig
from textmill.tokens.tokenizer import Tokenizer

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
CLASSIC = {"norm": "layer", "query_key_norm": False, "gated": False, "key_value_heads": 4, "head_dim": 12}
BIASES = {"norm_bias": True, "query_key_value_bias": True, "attention_output_bias": True, "feed_forward_bias": True}
DECODERS: dict[str, dict[str, Any]] = {
    "gpt2": {**CLASSIC, **BIASES, "positions": "learned", "activation": "gelu_tanh"},
    "llama": {"query_key_norm": False},
    "mistral": {"query_key_norm": False, "windows": (5, 5, 5)},
    "qwen2": {"query_key_norm": False, "query_key_value_bias": True},
    "qwen3": {"tied_embeddings": True},
    "starcoder2": {**CLASSIC, **BIASES, "key_value_heads": 2},
    "mpt": {**CLASSIC, "positions": "alibi", "activation": "gelu", "feed_forward_width": 192},
}
LABELS = {
    "sequence": ("calm", "glad", "angry"),
    "multi_label": ("spam", "hate"),
    "regression": ("stars",),
    "token": ("O", "B-PER", "I-PER", "B-LOC"),
    "span": ("begin", "end"),
}
AUTO = {
    **dict.fromkeys(("sequence", "multi_label", "regression"), transformers.AutoModelForSequenceClassification),
    "token": transformers.AutoModelForTokenClassification,
    "span": transformers.AutoModelForQuestionAnswering,
}
LENGTHS = torch.tensor([20, 7, 13])
REAL = torch.arange(20) < LENGTHS[:, None]
CASES = [
    *((name, kind) for name in ("bert", "modernbert") for kind in LABELS),
    *((name, "sequence") for name in DECODERS),
    ("gpt2", "token"),
    ("llama", "token"),
    ("mpt", "token"),
    ("qwen3", "multi_label"),
    ("qwen3", "regression"),
]


def made_for(kind: str, body: LanguageModel) -> Task:
    """The body under a random head of the kind."""
    config = TaskConfig(kind, LABELS[kind])
    model = TaskModel(body, config.head(body.config)).eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.head.parameters():
        parameter.data.normal_(0.0, 0.3, generator=generator)
    return Task(config, model)


@pytest.fixture
def make_task(make_encoder, make_decoder) -> Callable[[str, str], Task]:
    def make(model_type: str, kind: str) -> Task:
        encodes = model_type not in DECODERS
        return made_for(kind, make_encoder(model_type) if encodes else make_decoder(**DECODERS[model_type]))

    return make


def saved(path: Path, task: Task, tokenizer: Tokenizer, model_type: str | None = None) -> Path:
    save_model_folder(path, task.model.body, tokenizer, {}, model_type, task)
    return path


def inputs_for(padding: int) -> torch.Tensor:
    """Texts of unlike lengths; behind each stands what the stock class takes for padding."""
    ids = torch.randint(8, 512, (3, 20), generator=torch.Generator().manual_seed(1))
    return torch.where(REAL, ids, padding)


@torch.no_grad()
@pytest.mark.parametrize("model_type, kind", CASES)
def test_outputs_labels_and_bits_are_the_same_both_ways(
    make_task, tokenizer: Tokenizer, tmp_path: Path, model_type: str, kind: str
) -> None:
    task = make_task(model_type, kind)
    saved(tmp_path / "ours", task, tokenizer, model_type)
    theirs, report = AUTO[kind].from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert theirs.config.model_type == model_type and theirs.config.architectures == [type(theirs).__name__]
    assert not any(report.values()), report
    assert tuple(theirs.config.id2label[number] for number in range(len(LABELS[kind]))) == LABELS[kind]
    inputs = inputs_for(theirs.config.pad_token_id)
    found = theirs.eval()(inputs, attention_mask=REAL.long())
    expected = torch.stack([found.start_logits, found.end_logits], dim=-1) if kind == "span" else found.logits
    real = REAL if kind in ("token", "span") else torch.ones(3, dtype=torch.bool)
    torch.testing.assert_close(task.model(inputs, lengths=LENGTHS)[real], expected[real], **TOLERANCE)

    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")
    read = load_model_folder(tmp_path / "theirs")
    assert read.task is not None and read.task.config == task.config
    torch.testing.assert_close(read.task.model(inputs, lengths=LENGTHS)[real], expected[real], **TOLERANCE)
    again = load_model_folder(saved(tmp_path / "again", read.task, tokenizer, model_type))
    for name, tensor in read.task.model.state_dict().items():
        assert torch.equal(again.task.model.state_dict()[name], tensor), name
    assert not read.model.writes and not (tmp_path / "again" / "generation_config.json").exists()


def test_families_without_a_stock_class_are_kept_in_our_own_layout(
    make_recurrent, make_encoder_decoder, make_decoder, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    inputs = inputs_for(0)
    for number, (kind, body) in enumerate(
        [
            ("sequence", make_recurrent()),
            ("token", make_recurrent(cell="gru")),
            ("multi_label", make_encoder_decoder("marian")),
            ("span", make_decoder()),
            ("sequence", make_decoder(positions="sinusoidal")),
        ]
    ):
        task = made_for(kind, body)
        read = load_model_folder(saved(tmp_path / str(number), task, tokenizer))
        assert json.loads((read.path / "config.json").read_text())["model_type"] == "textmill"
        assert read.task is not None and read.task.config == task.config
        assert torch.equal(read.task.model(inputs, lengths=LENGTHS), task.model(inputs, lengths=LENGTHS))
        with pytest.raises(ModelError, match="no stock class"):
            export_folder(read.path, tmp_path / "out")


def test_two_labels_without_names_are_read_as_transformers_means_them(make_task, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """transformers leaves `id2label` out where it is the usual one, and takes the kind of task from the labels' number."""
    saved(tmp_path / "ours", make_task("bert", "multi_label"), tokenizer)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    config.id2label, config.label2id, config.problem_type = {0: "LABEL_0", 1: "LABEL_1"}, {"LABEL_0": 0, "LABEL_1": 1}, None
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "theirs")
    assert "id2label" not in json.loads((tmp_path / "theirs" / "config.json").read_text())
    tokenizer.save(tmp_path / "theirs")
    assert load_model_folder(tmp_path / "theirs").task.config == TaskConfig("sequence", ("LABEL_0", "LABEL_1"))


def test_import_and_export_keep_the_head_to_the_bit(make_task, tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = made = make_task("modernbert", "sequence")
    saved(tmp_path / "made", made, tokenizer)
    import_folder(tmp_path / "made", tmp_path / "in", {"from": "made"})
    export_folder(tmp_path / "in", tmp_path / "out")
    for name in ("in", "out"):
        read = load_model_folder(tmp_path / name)
        assert read.task is not None and read.task.config == task.config
        for key, tensor in task.model.head.state_dict().items():
            assert torch.equal(read.task.model.head.state_dict()[key], tensor), key
    stock = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert stock.config.problem_type == "single_label_classification" and stock.config.label2id["angry"] == 2
