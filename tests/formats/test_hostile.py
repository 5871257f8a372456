"""Truncated, lying and hostile folders are an error that a user can read, and nothing is allocated by what they claim."""

import contextlib
import json
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.errors import ModelError
from textmill.formats.model_folder import save_model_folder
from textmill.formats.opened_folder import open_model_folder
from textmill.formats.transfer import export_folder
from textmill.formats.weights import open_weights
from textmill.models.architectures import ARCHITECTURES, build
from textmill.models.settings import ModelSettings

MOST_MEMORY = 32_000_000  # bytes that a header of some kilobytes may cost
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3": {"windows": (0, 9, 9)},
    "qwen2": {"query_key_norm": False, "query_key_value_bias": True},
    "llama": {"query_key_norm": False},
    "mistral": {"query_key_norm": False, "windows": (7, 7, 7)},
    "textmill": {"positions": "alibi"},
}
HOSTILE: list[Any] = [
    None, True, "48", "x" * 200, -1, 0, 1, 2, 3, 7, 0.5, 2**31, 2**63, 10**12, 10**300, 1e-320, 1e300, float("nan"),
    float("inf"), [], [1], ["full_attention"] * 3, {}, {"rope_type": "yarn", "factor": 4.0}, {"rope_type": "yarn"},
    {"rope_type": "llama3", "factor": 8.0}, {"rope_type": "dynamic", "factor": 2.0}, {"rope_theta": 1.0, "rope_type": "yarn"},
]  # fmt: skip


@pytest.fixture(scope="module")
def folders() -> dict[str, Path]:
    return {}


@pytest.fixture(params=SHAPES)
def folder(request: pytest.FixtureRequest, folders, make_decoder, tokenizer, tmp_path_factory) -> Path:
    """A small model folder of each layout, without the hashes that would tell every change."""
    return _saved(request.param, folders, make_decoder, tokenizer, tmp_path_factory)


def _saved(name: str, folders: dict[str, Path], make_decoder, tokenizer, tmp_path_factory) -> Path:
    if name not in folders:
        folders[name] = tmp_path_factory.mktemp("hostile") / name
        save_model_folder(folders[name], make_decoder(**SHAPES[name]), tokenizer, {}, name)
        (folders[name] / "textmill.json").unlink()
    return folders[name]


@pytest.fixture(params=ARCHITECTURES)
def any_folder(request: pytest.FixtureRequest, folders, tokenizer, tmp_path_factory) -> Path:
    """A small folder of each architecture that a recipe can name, of every family."""
    name = f"any {request.param}"
    if name not in folders:
        layers = 1 if request.param == "cnn" else 2
        shape = ModelSettings(architecture=request.param, preset="0.5m", layers=layers, width=64, context_length=32)
        folders[name] = tmp_path_factory.mktemp("hostile") / request.param
        save_model_folder(folders[name], build(shape.config(512)), tokenizer, {}, request.param)
        (folders[name] / "textmill.json").unlink()
    return folders[name]


@pytest.fixture
def headed(folders, make_decoder, tokenizer, tmp_path_factory) -> Path:
    """One of them, for what doesn't depend on the layout."""
    return _saved("qwen3", folders, make_decoder, tokenizer, tmp_path_factory)


def opens(folder: Path) -> bool:
    """Whether a folder is taken; if it isn't, the error is ours, and short."""
    try:
        open_model_folder(folder)
    except ModelError as error:
        assert all(len(problem) < 3000 for problem in error.problems)
        return False
    return True


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(data=st.data())
def test_any_value_of_a_config_is_taken_or_refused(any_folder: Path, data: st.DataObject) -> None:
    path = any_folder / "config.json"
    original = path.read_text()
    config = json.loads(original)
    places = [config, *(value for value in config.values() if isinstance(value, dict))]
    place = data.draw(st.sampled_from(places))
    for key in data.draw(st.lists(st.sampled_from(sorted(place)), min_size=1, max_size=2)):
        if data.draw(st.booleans()):
            place[key] = data.draw(st.sampled_from(HOSTILE))
        else:
            place.pop(key, None)
    path.write_text(json.dumps(config))
    try:
        opens(any_folder)
    finally:
        path.write_text(original)


def test_sizes_that_the_weights_do_not_bear_out_are_refused_one_and_all(folder: Path) -> None:
    path = folder / "config.json"
    original = path.read_text()
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim")
    config = json.loads(original)
    own = config["model_type"] == "textmill"
    place = config["shape"] if own else config
    names = ("vocabulary_size", "width", "feed_forward_width", "layers", "heads", "head_dim") if own else sizes
    try:
        for name in names:
            for size in (2**63, 10**12, 2**31 - 2, -4, "many"):
                kept, place[name] = place[name], size
                path.write_text(json.dumps(config))
                with little_memory():
                    assert not opens(folder), (name, size)
                place[name] = kept
    finally:
        path.write_text(original)


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(text: str, data: bytes) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode() + data


NUMBERS = st.sampled_from([-1, 0, 1, 3, 2**31, 2**62, 2**63, 2**64, 10**40, 1.5, "1", None, True])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(data=st.data())
def test_a_header_that_lies_is_refused(headed: Path, data: st.DataObject) -> None:
    path = headed / "model.safetensors"
    original = path.read_bytes()
    header, weights = header_of(original)
    name = data.draw(st.sampled_from(sorted(set(header) - {"__metadata__"})))
    before = json.dumps(header[name])
    field = data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
    if field == "dtype":
        header[name]["dtype"] = data.draw(st.sampled_from(["F64", "F16", "F128", "I32", "", 7, None, ["F32"]]))
    elif data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(header[name][field]) - 1))
        header[name][field][place] = data.draw(NUMBERS)
    else:
        header[name][field] = data.draw(st.one_of(st.lists(NUMBERS, max_size=10), NUMBERS))
    if json.dumps(header[name]) == before:
        return
    path.write_bytes(with_header(json.dumps(header), weights))
    try:
        assert not opens(headed)
    finally:
        path.write_bytes(original)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(data=st.data())
def test_any_byte_of_a_header_that_changes_is_an_error_or_changes_nothing(headed: Path, data: st.DataObject) -> None:
    path = headed / "model.safetensors"
    original = path.read_bytes()
    known = open_weights(headed).tensors
    content = bytearray(original)
    (length,) = struct.unpack("<Q", original[:8])
    content[data.draw(st.integers(0, 7 + length))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content), 5, len(content) - 3]))])
    try:
        if opens(headed):
            assert open_weights(headed).tensors == known
    finally:
        path.write_bytes(original)


def test_what_the_safetensors_library_lets_through_is_refused(headed: Path) -> None:
    path = headed / "model.safetensors"
    original = path.read_bytes()
    header, weights = header_of(original)
    name = next(name for name in header if name != "__metadata__")
    entry = json.dumps(header[name])
    cases = {
        "twice": with_header(f'{{"{name}": {entry}, ' + json.dumps(header)[1:], weights),
        "overlaps another": with_header(json.dumps({**header, "more": header[name]}), weights),
        "leaves a gap": with_header(json.dumps({key: value for key, value in header.items() if key != name}), weights),
        "its tensors end at": with_header(json.dumps(header), weights + b"more"),
        "its header would have": struct.pack("<Q", 2**63) + original[8:],
        "is not JSON": with_header("[" * 100_000, weights),
        "no list of tensors": with_header("[]", weights),
        "it has 4 bytes": original[:4],
        "are no list of tensors": struct.pack("<Q", (1 << 24) + 1) + bytes((1 << 24) + 9),
    }
    try:
        for told, content in cases.items():
            path.write_bytes(content)
            with pytest.raises(ModelError, match=f"can't be read as safetensors: .*{told}"):
                open_weights(headed)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize(
    "name, known", [("config.json", "vocab_size"), ("tokenizer.json", "model"), ("tokenizer_config.json", "eos_token")]
)
def test_a_name_that_stands_twice_is_refused(textmill, headed: Path, name: str, known: str) -> None:
    """The last one would win here, the first one elsewhere."""
    path = headed / name
    original = path.read_text(encoding="utf-8")
    assert known in json.loads(original)
    path.write_text(f'{{"{known}": null, ' + original.lstrip()[1:], encoding="utf-8")
    try:
        result = textmill("generate", headed)
        assert result.code == 2 and f"the name '{known}' stands twice in one object" in result.err and str(path) in result.err
    finally:
        path.write_text(original, encoding="utf-8")


def test_a_weight_that_an_index_places_twice_is_refused(textmill, headed: Path, tmp_path: Path) -> None:
    export_folder(headed, tmp_path / "shards", shard_bytes=20_000)
    path = tmp_path / "shards" / "model.safetensors.index.json"
    places = '"weight_map": {'
    first = next(iter(json.loads(path.read_text())["weight_map"]))
    path.write_text(path.read_text().replace(places, f'{places}"{first}": "model.safetensors", '))
    (tmp_path / "shards" / "textmill.json").unlink()
    result = textmill("inspect", tmp_path / "shards")
    assert result.code == 2 and f"the name '{first}' stands twice in one object" in result.err and str(path) in result.err


def test_a_config_that_is_no_config_is_told(headed: Path) -> None:
    path = headed / "config.json"
    original = path.read_text()
    try:
        for content, told in [
            ("[" * 100_000, "not valid JSON"),
            ('{"a": ' + "9" * 100_000 + "}", "not valid JSON"),
            ("[]", "must be a JSON object"),
            ('{"model_type": ["llama"]}', "model_type is"),
            (json.dumps({**json.loads(original), "architectures": ["LlamaForSequenceClassification"]}), "architectures is"),
            (json.dumps({**json.loads(original), "quantization_config": {"bits": 4}}), "its weights are quantised"),
            (" " * ((1 << 24) + 1), "which is no configuration"),
        ]:
            path.write_text(content)
            with pytest.raises(ModelError, match=told):
                open_model_folder(headed)
    finally:
        path.write_text(original)
