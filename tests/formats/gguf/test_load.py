"""A model folder as a GGUF file and back: no bit of a weight changes, and what either side doesn't hold is refused, with the
reason."""

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import ModelError
from textmill.formats.gguf import load_gguf, save_gguf
from textmill.formats.gguf.reader import GgufFile, read_gguf
from textmill.formats.gguf.writer import write_gguf
from textmill.formats.opened_folder import open_model_folder
from textmill.models.architectures import build_empty
from textmill.tokens.tokenizer import Tokenizer

from .conftest import MODELS

MakeFolder = Callable[[str], tuple[Path, Any]]


@pytest.fixture
def changed(make_folder: MakeFolder, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a model's folder with other values in its config.json."""

    def change(name: str, **values: Any) -> Path:
        folder = tmp_path / "changed"
        folder.mkdir(exist_ok=True)
        for path in make_folder(name)[0].iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **values}))
        return folder

    return change


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_comes_back_to_the_bit(make_folder: MakeFolder, tokenizer: Tokenizer, tmp_path: Path, name: str) -> None:
    folder, _ = make_folder(name)
    assert save_gguf(tmp_path / "model.gguf", folder, "F32") == []
    loaded, opened = load_gguf(tmp_path / "model.gguf"), open_model_folder(folder)
    expected = dict(opened.layout.from_stock(opened.stock_tensors(), opened.config))
    assert loaded.tensors.keys() == expected.keys()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in expected.items())
    assert loaded.config == opened.config
    assert loaded.architecture == ("llama" if name == "mistral" else opened.layout.model_type)
    for text in ("Hello, world! 12", "中文 é"):
        assert loaded.tokenizer.encode_whole(text) == tokenizer.encode_whole(text)
    assert loaded.tokenizer.special == tokenizer.special and loaded.tokenizer.chat_template is None


def test_a_tensor_that_is_three_of_ours_is_read_once(make_folder: MakeFolder, tmp_path: Path) -> None:
    save_gguf(tmp_path / "model.gguf", make_folder("gpt2")[0], "Q8_0")
    tensors = load_gguf(tmp_path / "model.gguf").tensors
    parts = [tensors[f"blocks.1.attention.{name}.weight"] for name in ("query", "key", "value")]
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1


def test_the_same_folder_gives_the_same_bytes(make_folder: MakeFolder, tmp_path: Path) -> None:
    for name in ("one.gguf", "two.gguf"):
        save_gguf(tmp_path / name, make_folder("llama")[0], "Q8_0")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()


def test_what_must_be_exact_stays_in_float32(make_folder: MakeFolder, tmp_path: Path) -> None:
    kinds = {}
    for name, kind in (("gpt2", "Q4_0"), ("llama 3.1", "F16")):
        save_gguf(tmp_path / "model.gguf", make_folder(name)[0], kind)
        for place in read_gguf(tmp_path / "model.gguf").places.values():
            kinds[name, place.name] = place.kind.name
    assert kinds["gpt2", "blk.0.attn_qkv.weight"] == "Q4_0" and kinds["gpt2", "token_embd.weight"] == "Q8_0"
    assert kinds["llama 3.1", "blk.0.attn_q.weight"] == kinds["llama 3.1", "token_embd.weight"] == "F16"
    exact = [("gpt2", "position_embd.weight"), ("gpt2", "output_norm.weight"), ("gpt2", "blk.0.attn_qkv.bias")]
    assert {kinds[one] for one in [*exact, ("llama 3.1", "rope_freqs.weight"), ("llama 3.1", "blk.1.ffn_norm.weight")]} == {
        "F32"
    }


def test_a_chat_template_goes_along(changed: Callable[..., Path], tmp_path: Path) -> None:
    folder = changed("llama")
    (folder / "chat_template.jinja").write_text("{{ messages }} 短", encoding="utf-8")
    save_gguf(tmp_path / "model.gguf", folder)
    template = load_gguf(tmp_path / "model.gguf").tokenizer.chat_template
    assert template is not None and template.source == "{{ messages }} 短"
    assert gguf.GGUFReader(tmp_path / "model.gguf").fields["tokenizer.chat_template"].contents() == "{{ messages }} 短"


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("llama", {"hidden_act": "relu"}, r"\(llama: activation is relu, and llama has silu\)"),
        ("mistral", {"sliding_window": 16}, "look back over 16 tokens only, .* max_position_embeddings = 16 computes the same"),
        ("gpt2", {"activation_function": "gelu"}, "activation is gelu, and llama.cpp's gpt2 has gelu_tanh"),
    ],
)  # fmt: skip
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    changed: Callable[..., Path], tmp_path: Path, name: str, values: dict[str, Any], message: str
) -> None:
    folder = changed(name, **values)
    with pytest.raises(ModelError, match=message) as refused:
        save_gguf(tmp_path / "model.gguf", folder)
    assert all(str(folder) in problem for problem in refused.value.problems)
    assert not (tmp_path / "model.gguf").exists()


def test_an_unknown_type_is_refused(make_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no GGUF type 'Q8' to write, did you mean 'Q8_0'"):
        save_gguf(tmp_path / "model.gguf", make_folder("llama")[0], "Q8")
    with pytest.raises(ModelError, match=r"known: F32, F16, BF16, Q8_0, Q4_0\)"):
        save_gguf(tmp_path / "model.gguf", make_folder("llama")[0], "Q4_K")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("general.architecture", "mamba", r"general\.architecture is 'mamba'; llama, qwen2, qwen3, gpt2, bert are read"),
        ("general.type", "adapter", r"general\.type is 'adapter'; whole models are read"),
        ("split.count", 3, "it is one of 3 files of a model; join them"),
        ("llama.expert_count", 8, "llama: expert_count is 8; only 0 is held"),
        ("llama.attention.scale", 0.5, r"llama: attention\.scale is 0\.5, which isn't held"),
        ("llama.block_count", 2**31, "llama: block_count must be 1 to 22"),
        ("llama.context_length", 2**31, "llama: context_length must be 1 to 1,048,576"),
        ("llama.attention.head_count", 3, r"head_count \(3\) must be a multiple of attention\.head_count_kv \(2\)"),
        ("llama.rope.scaling.type", "longrope", r"rope\.scaling\.type is 'longrope'; held are none, linear, yarn"),
        ("llama.rope.textmill_llama3_scaling", [8.0, 1.0, 4.0, 64.0], "slows rotary positions otherwise than Llama 3.1"),
        ("llama.rope.scaling.type", "linear", r"factor is missing"),
        ("llama.rope.textmill_llama3_scaling", [0.0, 4.0, 1.0, 0.0], r"rope_freqs\.weight: rope scaling's factor must be"),
    ],
)
def test_what_textmill_does_not_hold_is_refused(sound: GgufFile, tmp_path: Path, key: str, value: Any, message: str) -> None:
    """A sound file with another value."""
    with pytest.raises(ModelError, match=message):
        load_gguf(rewritten(sound, tmp_path / "changed.gguf", {key: value}))


@pytest.fixture(scope="module")
def sound(make_folder: MakeFolder, tmp_path_factory: pytest.TempPathFactory) -> GgufFile:
    """A file of which nothing is wrong."""
    path = tmp_path_factory.mktemp("sound") / "model.gguf"
    save_gguf(path, make_folder("llama 3.1")[0], "F32")
    return read_gguf(path)


def rewritten(file: GgufFile, path: Path, values: dict[str, Any]) -> Path:
    """The same file with other values in its metadata."""
    stored = {name: (place.kind, place.shape) for name, place in file.places.items()}
    kept = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in file.metadata.items()}
    write_gguf(path, {**kept, **values}, stored, file.tensor)
    return path


any_value = st.one_of(
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.floats(width=32),
    st.text(max_size=8),
    st.lists(st.integers(-3, 700), max_size=3),
    st.lists(st.floats(width=32), min_size=1, max_size=5),
    st.lists(st.text(max_size=4), max_size=3),
    st.just([float("nan")] * 512),
    st.just([1] * 512),
    st.just([""] * 512),
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=any_value)
def test_whatever_a_key_says_it_is_an_error_or_a_model(
    sound: GgufFile, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: Any
) -> None:
    further = [
        "tokenizer.chat_template",
        "tokenizer.ggml.scores",
        "general.alignment",
        "split.count",
        "tokenizer.ggml.cls_token_id",
    ]
    key = data.draw(st.sampled_from([*sound.metadata, *further]))
    path = rewritten(sound, tmp_path_factory.getbasetemp() / "any.gguf", {key: value})
    try:
        loaded = load_gguf(path)
        assert loaded.tokenizer.vocabulary_size <= loaded.config.vocabulary_size
    except ModelError as error:
        assert all(str(path) in problem for problem in error.problems)


@pytest.fixture(scope="module")
def written(make_folder: MakeFolder, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole file with every kind of thing in it: its header has some 16,000 bytes."""
    path = tmp_path_factory.mktemp("written") / "model.gguf"
    save_gguf(path, make_folder("llama 3.1")[0], "F32")
    return path.read_bytes()


@st.composite
def changed_bytes(draw: st.DrawFn) -> tuple[float, bytes]:
    """A place in a header, as a share of it, and what is written there."""
    numbers = st.sampled_from([0, 1, 2, 2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
    written = st.one_of(st.binary(min_size=1, max_size=4), numbers.map(lambda number: struct.pack("<Q", number)))
    return draw(st.floats(0, 1, exclude_max=True)), draw(written)


@settings(max_examples=100, deadline=None)
@given(
    changes=st.lists(changed_bytes(), min_size=1, max_size=3),
    near=st.sampled_from([b"GGUF", b"llama.", b"tokenizer.", b"blk."]),
)
def test_whatever_a_file_says_it_is_an_error_or_a_model(
    written: bytes, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, bytes]], near: bytes
) -> None:
    """Bytes of the header are changed, most of them where the shape, the special tokens or the tensors stand."""
    content = bytearray(written)
    start = content.index(near)
    for place, new in changes:
        at = start + int(place * 600)
        content[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        loaded = load_gguf(path)
        expected = build_empty(loaded.config).state_dict()
        assert all(tensor.shape == expected[name].shape for name, tensor in loaded.tensors.items())
        assert loaded.tokenizer.vocabulary_size <= loaded.config.vocabulary_size
    except ModelError as error:
        assert all(str(path) in problem for problem in error.problems)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20 * len(written)
