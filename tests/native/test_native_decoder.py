"""What the C++ kernels compute is what plain torch computes, in every dialect; and the same bits in every batch and chunk."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from textmill.errors import ModelError
from textmill.models.decoder import Decoder
from textmill.models.slots import KeyValueSlots
from textmill.native.decoder import NativeDecoder, problems
from textmill.native.library import KINDS, NoKernels
from textmill.native.packing import FORMATS, GROUP, Format, pack, wider

pytestmark = pytest.mark.usefixtures("instruction_set")

DIALECTS: dict[str, dict] = {
    "qwen3": {},
    "llama": {"query_key_norm": False, "rope_theta": 500_000.0},
    "grouped": {"heads": 4, "key_value_heads": 1},
    "wide heads": {"heads": 2, "key_value_heads": 1, "head_dim": 272},
    "windows": {"windows": (0, 5)},
    "two rotations": {"windows": (7, 0), "local_rope_theta": 100.0},
    "gpt2": {
        "positions": "learned",
        "norm": "layer",
        "norm_bias": True,
        "query_key_norm": False,
        "query_key_value_bias": True,
        "attention_output_bias": True,
        "feed_forward_bias": True,
        "activation": "gelu_tanh",
        "gated": False,
    },
    "alibi": {"positions": "alibi", "norm": "layer", "activation": "gelu", "gated": False},
    "post-norm": {"post_norm": True, "norm": "layer", "norm_bias": True, "activation": "relu", "gated": False},
    "sinusoids": {"positions": "sinusoidal", "embedding_scale": True, "embedding_norm": True},
}
SHAPE = {
    "vocabulary_size": 90,
    "context_length": 64,
    "layers": 2,
    "width": 32,
    "heads": 4,
    "key_value_heads": 2,
    "head_dim": 16,
}


@pytest.fixture
def make(make_decoder: Callable) -> Callable[..., Decoder]:
    def built(**options: object) -> Decoder:
        model = make_decoder(**{**SHAPE, "feed_forward_width": 64, **options})
        with torch.no_grad():
            for parameter in model.parameters():  # biases and norms too
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model.eval()

    return built


def slots_of(model: Decoder) -> KeyValueSlots:
    return model.new_slots(4, model.config.context_length)


def native_hidden(
    model: Decoder, pieces: list[int], ids: Tensor, format: Format = "float32", threads: int = 2
) -> tuple[Tensor, NativeDecoder]:
    """Hidden states of one row that reads pieces of so many tokens."""
    native, start, found = NativeDecoder(model, slots_of(model), format, threads), 0, []
    for piece in pieces:
        places = torch.arange(start, start + piece)
        found.append(native.hidden(ids[places], torch.full((piece,), 2), places))
        start += piece
    return torch.cat(found), native


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_computed_as_torch_computes_it(dialect: str, make: Callable[..., Decoder]) -> None:
    model, ids = make(**DIALECTS[dialect]), torch.randint(90, (41,))
    with torch.no_grad():
        expected = model.hidden(ids[None])[0]
        logits = model.head(expected)
    found, native = native_hidden(model, [41], ids)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(native.logits(found), logits, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 3), (8, 8)]),
    head_dim=st.sampled_from([16, 32, 48, 64]),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    layers=st.integers(1, 3),
    options=st.fixed_dictionaries(
        {
            "positions": st.sampled_from(["rotary", "learned", "sinusoidal", "alibi"]),
            "norm": st.sampled_from(["rms", "layer"]),
            "activation": st.sampled_from(KINDS),
            **{
                name: st.booleans() for name in ("gated", "post_norm", "query_key_norm", "feed_forward_bias", "tied_embeddings")
            },
            **{name: st.booleans() for name in ("query_key_value_bias", "attention_output_bias", "embedding_scale")},
        }
    ),
    windows=st.lists(st.sampled_from([0, 1, 5, 40]), min_size=3, max_size=3),
    pieces=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    threads=st.integers(1, 3),
)
def test_a_dialect_of_any_choices_is_computed_as_torch_computes_it(
    make: Callable[..., Decoder], heads: tuple[int, int], head_dim: int, sizes: tuple[int, ...], layers: int, options: dict,
    windows: list[int], pieces: list[int], threads: int,
) -> None:  # fmt: skip
    torch.manual_seed(sum(pieces))
    all_heads, key_value_heads = heads
    if all_heads * head_dim % GROUP:
        head_dim *= 2
    vocabulary, width, inner = sizes[0] * 29, sizes[1] * GROUP, sizes[2] * GROUP
    shape = {"heads": all_heads, "key_value_heads": key_value_heads, "head_dim": head_dim, "layers": layers}
    widths = {"vocabulary_size": vocabulary, "width": width, "feed_forward_width": inner}
    model = make(**shape, **widths, **options, windows=tuple(windows[:layers]))
    ids = torch.randint(vocabulary, (sum(pieces),))
    with torch.no_grad():
        expected = model.hidden(ids[None])[0]
        logits = model.head(expected)
    found, native = native_hidden(model, pieces, ids, threads=threads)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=2e-4, atol=2e-4)
    torch.testing.assert_close(native.logits(expected), logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max()))


@pytest.mark.parametrize("format", FORMATS)
def test_a_token_has_the_same_bits_in_every_chunk_and_batch(format: Format, make: Callable[..., Decoder]) -> None:
    model, ids = make(), torch.randint(90, (40,))
    whole, native = native_hidden(model, [40], ids, format)
    for pieces in ([1] * 40, [7, 20, 1, 12], [39, 1]):
        assert torch.equal(native_hidden(model, pieces, ids, format)[0], whole)
    # Four rows in one pass, each elsewhere in its text.
    native = NativeDecoder(model, slots_of(model), format, threads=2)
    lengths = [3, 17, 9, 30]
    for row, length in enumerate(lengths):
        native.hidden(ids[:length], torch.full((length,), row), torch.arange(length))
    together = native.hidden(ids[lengths], torch.arange(4), torch.tensor(lengths))
    assert torch.equal(together, whole[lengths])
    assert torch.equal(native.logits(whole)[5:6], native.logits(whole[5:6]))


def rounded_activations(x: Tensor) -> Tensor:
    """Activations (…, K) as the kernels round them for short weights: groups with outliers twice."""

    def once(numbers: Tensor) -> Tensor:
        most = numbers.abs().amax(dim=-1, keepdim=True)
        inverse = torch.where(most > 0, 127 / most, 0.0)  # the kernels' own operations, so that no border is crossed
        return (numbers * inverse).round() * (most / 127)

    groups = torch.nn.functional.pad(x, (0, -x.size(-1) % GROUP)).unflatten(-1, (-1, GROUP))
    most = groups.abs().amax(dim=-1, keepdim=True)
    rounded, twice = once(groups), most > 1.5 * most.mean(dim=-2, keepdim=True)
    return torch.where(twice, rounded + once(groups - rounded), rounded).flatten(-2)[..., : x.size(-1)]


@pytest.mark.parametrize("format", ["int8", "int4"])
def test_short_weights_are_computed_as_what_they_stand_for(format: Format, make: Callable[..., Decoder]) -> None:
    model, ids = make(), torch.randint(90, (30,))
    found, native = native_hidden(model, [30], ids, format)
    logits = native.logits(found)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                of_module = wider(format) if module is model.head else format
                module.weight = torch.nn.Parameter(pack(module.weight, None, of_module).weight())
                module.register_forward_pre_hook(lambda _, inputs: (rounded_activations(inputs[0]),))
        expected = model.hidden(ids[None])[0]
        assert (found - expected).norm() / expected.norm() < 1e-3  # a number on a border may be rounded to its other side
        torch.testing.assert_close(logits, model.head(found), rtol=1e-4, atol=1e-4)


def test_what_stands_outside_the_rows_is_refused(make: Callable[..., Decoder]) -> None:
    model = make()
    native = NativeDecoder(model, slots_of(model), "float32", threads=2)
    for row, place in ((4, 0), (-1, 0), (0, 64), (0, -1)):
        with pytest.raises(ModelError, match="no place"):
            native.hidden(torch.tensor([1]), torch.tensor([row]), torch.tensor([place]))


def test_what_cannot_be_read_is_told(make: Callable[..., Decoder], make_recurrent: Callable) -> None:
    assert "multiple of 32" in problems(make(feed_forward_width=48))[0]
    assert problems(make_recurrent(vocabulary_size=90))
    with pytest.raises(NoKernels, match="float32 weights"):
        model = make().to(torch.bfloat16)
        NativeDecoder(model, slots_of(model), "float32", threads=1)
