"""A task's head and labels that don't fit together are an error that names what was found; no verb loses a head in silence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from textmill.errors import ModelError
from textmill.formats.model_folder import load_model_folder, save_model_folder
from textmill.formats.opened_folder import open_model_folder
from textmill.formats.transfer import import_folder
from textmill.models.heads import TaskModel
from textmill.models.task import Task, TaskConfig
from textmill.tokens.tokenizer import Tokenizer

LABELS = ("calm", "glad", "angry")
KEYS = ("id2label", "label2id", "num_labels", "problem_type", "architectures")
JSON = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
OBJECT = st.dictionaries(st.text(max_size=3), JSON, max_size=4)
HOSTILE: list[Any] = [
    {"0": "a", "1": "b", "2": "c"}, {"a": 0, "b": 1, "c": 2}, {"0": ["a"], "1": {}, "2": None}, {"-1": "a", "0": "b", "1": "c"},
    {"0": "a", "1": "b", "2": "c" * 10_000}, {"00": "a", "1": "b", "2": "c"}, 3, 10**30, [["BertForSequenceClassification"]],
    ["BertForSequenceClassification"], ["BertForTokenClassification"], "regression", "multi_label_classification",
]  # fmt: skip


@pytest.fixture
def make_folder(make_encoder, make_decoder, tokenizer: Tokenizer, tmp_path: Path) -> Callable[..., Path]:
    """Saves a classifier of texts; gives its folder, without the hashes that would tell every change."""

    def make(encoder: bool = True, labels: tuple[str, ...] = LABELS) -> Path:
        body = make_encoder("bert") if encoder else make_decoder(query_key_norm=False)
        config = TaskConfig("sequence", labels)
        task = Task(config, TaskModel(body, config.head(body.config)))
        path = tmp_path / ("bert" if encoder else "llama")
        save_model_folder(path, body, tokenizer, {}, None if encoder else "llama", task)
        (path / "textmill.json").unlink()
        return path

    return make


@pytest.fixture(scope="module")
def shared_folder(make_encoder, tokenizer: Tokenizer, tmp_path_factory) -> Path:
    """One for many changes."""
    config, body = TaskConfig("sequence", LABELS), make_encoder("bert")
    path = tmp_path_factory.mktemp("hostile") / "bert"
    save_model_folder(path, body, tokenizer, {}, task=Task(config, TaskModel(body, config.head(body.config))))
    (path / "textmill.json").unlink()
    return path


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"id2label": None, "label2id": None}, r"names 2 labels \('LABEL_0', 'LABEL_1'\).*classifier.weight.* shape \(3, 48\)"),
        ({"id2label": {"0": "calm", "1": "glad"}, "label2id": None}, r"names 2 labels \('calm', 'glad'\).* shape \(3, 48\)"),
        ({"id2label": {str(n): f"{n}" for n in range(4)}, "label2id": None}, r"names 4 labels \('0', '1', '2', …\)"),
        ({"id2label": {"0": "calm", "1": "glad", "2": "calm"}, "label2id": None}, "'calm' stands 2 times among the labels"),
        ({"id2label": {"0": "calm", "1": "glad", "3": "angry"}}, "number its 3 labels from 0 on; it lacks 2, and has '3'"),
        ({"id2label": {"0": "calm", "1": " ", "2": "angry"}, "label2id": None}, "1 to 1,000 characters, found ' '"),
        ({"id2label": {"0": "calm", "1": 7, "2": "angry"}}, "must name each label by a text, found 7"),
        ({"id2label": ["calm", "glad", "angry"]}, r"id2label must be an object, found \['calm'"),
        ({"label2id": {"calm": 0, "glad": 2, "angry": 1}}, "'glad' is 1 by the one, and 2 by the other"),
        ({"label2id": {"calm": 0, "glad": 1}}, "'angry' is 2 by the one, and nothing by the other"),
        ({"num_labels": 5}, "num_labels is 5, and id2label names 3"),
        ({"id2label": None, "num_labels": 10**9}, "num_labels must be 1 to 100,000"),
        ({"id2label": {"0": "calm"}, "label2id": None}, "needs two to choose from, found 1"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking'; held are single_label_classification, multi_label"),
        ({"architectures": ["BertForNextSentencePrediction"]}, "architectures is .*; of bert, BertForMaskedLM or"),
        ({"architectures": ["BertForMaskedLM"]}, "weight classifier.weight is not one of this model's"),
    ],
)
def test_labels_that_do_not_fit_are_told(make_folder, changes: dict[str, Any], told: str) -> None:
    folder = make_folder()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ModelError, match=told):
        open_model_folder(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_any_value_of_the_labels_is_taken_or_refused(shared_folder: Path, data: st.DataObject) -> None:
    path = shared_folder / "config.json"
    original = path.read_text()
    config = json.loads(original)
    for key in data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)):
        config[key] = data.draw(
            st.one_of(st.sampled_from(HOSTILE), st.dictionaries(st.text(max_size=3), JSON, max_size=4), JSON)
        )
    path.write_text(json.dumps(config))
    try:
        opened = open_model_folder(shared_folder)
    except ModelError as error:
        assert all(len(problem) < 3000 for problem in error.problems)
    else:
        assert opened.layout.task is not None and len(opened.layout.task.labels) == 3
    finally:
        path.write_text(original)


def test_a_head_of_another_shape_or_without_its_parts_is_told(make_folder) -> None:
    for encoder, output in ((True, "classifier"), (False, "score")):
        folder = make_folder(encoder)
        weights = load_file(folder / "model.safetensors")
        cases = {
            "which must have a row for each, has shape (2, 48)": {f"{output}.weight": weights[f"{output}.weight"][:2]},
            f"weight {output}.weight has shape (3, 24)": {f"{output}.weight": weights[f"{output}.weight"][:, :24].contiguous()},
            f"weight {output}.weight is missing": {f"{output}.weight": None},
        }
        if encoder:
            cases["weight bert.pooler.dense.weight is missing"] = {"bert.pooler.dense.weight": None}
        else:
            cases["weight score.bias is not one of this model's"] = {"score.bias": weights[f"{output}.weight"][0].clone()}
        for told, changes in cases.items():
            changed = {name: tensor for name, tensor in {**weights, **changes}.items() if tensor is not None}
            save_file(changed, folder / "model.safetensors")
            with pytest.raises(ModelError) as error:
                open_model_folder(folder)
            assert told in str(error.value)


def test_labels_that_cannot_be_told_apart_are_not_written(make_folder, tmp_path: Path) -> None:
    for labels, told in (
        (("a", "b", "a"), "'a' stands 2 times"),
        (("a", ""), "1 to 1,000 characters, found ''"),
        (("a",), "needs two to choose from, found 1"),
    ):
        with pytest.raises(ModelError, match=told):
            make_folder(labels=labels)
    assert not any(tmp_path.iterdir())


def test_a_mean_of_the_tokens_is_not_taken_for_the_first_one(make_encoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    body, config = make_encoder("modernbert"), TaskConfig("sequence", LABELS)
    task = Task(config, TaskModel(body, config.head(body.config)))
    save_model_folder(tmp_path / "model", body, tokenizer, {}, task=task)
    (tmp_path / "model" / "textmill.json").unlink()
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "classifier_pooling": "mean"}))
    with pytest.raises(ModelError, match="classifier_pooling is 'mean'; only 'cls' is held"):
        open_model_folder(tmp_path / "model")


def test_an_end_that_is_padding_is_refused_under_a_decoders_head(make_folder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = make_folder(encoder=False)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    end = tokenizer.special.eos
    processor = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {end: {"id": end, "ids": [tokenizer.eos_id], "tokens": [end]}},
    }
    path.write_text(json.dumps({**content, "post_processor": processor}))
    with pytest.raises(ModelError, match=r"ends each text with token \d+, which is also the padding"):
        load_model_folder(folder)
    with pytest.raises(ModelError, match="which is also the padding"):
        import_folder(folder, tmp_path / "in", {"from": "there"})
    assert not (tmp_path / "in").exists()


def test_every_verb_says_what_becomes_of_the_head(make_folder, textmill, tmp_path: Path) -> None:
    folder = make_folder(encoder=False)
    shown = textmill("inspect", folder)
    assert shown.code == 0 and "calm, glad, angry" in shown.out and "sequence" in shown.out
    values = json.loads(textmill("inspect", folder, "--json").out)
    assert values["task"] == {"kind": "sequence", "labels": list(LABELS), "head_parameters": 3 * 48}
    brought = textmill("import", folder, tmp_path / "in")
    assert "under a head of the kind sequence with 3 labels" in brought.out and "generate" not in brought.out
    for words in (("generate", folder, "A"), ("chat", folder)):
        refused = textmill(*words)
        assert refused.code == 2 and "under a task's head, which gives labels and doesn't write on" in refused.err
    text = tmp_path / "text.txt"
    text.write_text("A text of some words.\n" * 20)
    assert "under a task's head" in textmill("evaluate", folder, text).err
    for kind, out in (("gguf", "model.gguf"), ("onnx", "onnx")):
        refused = textmill("export", folder, "--to", kind, "--out", tmp_path / out)
        assert refused.code == 2 and "under a task's head, which isn't written there" in refused.err
        assert not (tmp_path / out).exists()
