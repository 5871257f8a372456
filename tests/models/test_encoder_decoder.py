"""Both layouts of the encoder–decoder give the same numbers cached and whole, padded and not, by both attention paths."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from textmill.errors import ModelError, RecipeError
from textmill.models.architectures import ARCHITECTURES
from textmill.models.count import activation_bytes, count, count_spans, state_bytes
from textmill.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from textmill.models.hooks import hook_points, recorded
from textmill.models.loss import LossTerms
from textmill.models.settings import PRESETS, ModelSettings, resized
from textmill.models.state import EncoderDecoderState
from textmill.tokens.loader import IGNORED

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
LENGTHS = torch.tensor([17, 5, 11])
NAMES = [name for name, each in ARCHITECTURES.items() if each.config is EncoderDecoderConfig]


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 512, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, make_encoder_decoder) -> EncoderDecoder:
    return make_encoder_decoder(request.param)


def test_cached_is_uncached_and_eager_is_fused(model: EncoderDecoder) -> None:
    source, inputs = tokens(3, 17), tokens(3, 30, seed=1)
    whole = model(inputs, source=source, lengths=LENGTHS)
    state = model.encode(source, LENGTHS)
    cached = torch.cat([model(piece, state=state) for piece in inputs.split([1, 7, 1, 21], dim=1)], dim=1)
    torch.testing.assert_close(cached, whole, **TOLERANCE)
    with recorded(model, hook_points(model)) as found:
        torch.testing.assert_close(model(inputs, source=source, lengths=LENGTHS), whole, **TOLERANCE)
    looked_up = found["decoder.blocks.1.cross_attention_pattern"]
    assert looked_up.shape == (3, 4, 30, 17) and not looked_up[1, :, :, 5:].any()
    torch.testing.assert_close(looked_up.sum(-1), torch.ones(3, 4, 30))
    torch.testing.assert_close(model.head(found["decoder.hidden"]), whole, **TOLERANCE)


def test_what_pads_a_source_changes_nothing(model: EncoderDecoder) -> None:
    source, inputs = tokens(3, 17), tokens(3, 9, seed=1)
    logits = model(inputs, source=source, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(inputs[row : row + 1], source=source[row : row + 1, :length])
        torch.testing.assert_close(logits[row], alone[0], **TOLERANCE)


def test_no_token_of_a_target_sees_what_follows_it(model: EncoderDecoder) -> None:
    source, inputs, other = tokens(1, 12), tokens(1, 20, seed=1), tokens(1, 20, seed=2)
    other[:, :12] = inputs[:, :12]
    torch.testing.assert_close(model(inputs, source=source)[:, :12], model(other, source=source)[:, :12], **TOLERANCE)


def test_rows_of_a_state_are_picked_merged_and_rolled_back(model: EncoderDecoder) -> None:
    sources, starts = [tokens(2, 9), tokens(1, 14, seed=1)], [tokens(2, 3, seed=2), tokens(1, 6, seed=3)]
    states = []
    for source, start in zip(sources, starts):
        states.append(model.encode(source))
        model(start, state=states[-1])
    merged = EncoderDecoderState.merge(states).select(torch.tensor([2, 0, 0]))
    mark = merged.mark()
    model(tokens(3, 3, seed=4), state=merged)
    merged.rollback(mark)
    following = tokens(3, 1, seed=5)
    logits = model(following, state=merged)
    for row, (place, old) in enumerate([(1, 0), (0, 0), (0, 0)]):
        whole = torch.cat([starts[place][old : old + 1], following[row : row + 1]], dim=1)
        torch.testing.assert_close(logits[row], model(whole, source=sources[place][old : old + 1])[0, -1:], **TOLERANCE)


def test_the_loss_is_that_of_the_logits_and_reaches_every_weight(model: EncoderDecoder) -> None:
    source, inputs, targets = tokens(3, 17), tokens(3, 9, seed=1), tokens(3, 9, seed=2)
    targets[1, 4:] = IGNORED
    logits = model(inputs, source=source, lengths=LENGTHS)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    total, nats = model(inputs, targets, source, LENGTHS, terms=LossTerms())
    torch.testing.assert_close(total, expected, **TOLERANCE)
    torch.testing.assert_close(nats, expected.detach(), **TOLERANCE)
    torch.testing.assert_close(model.token_nats(inputs, targets, source, LENGTHS).sum(), nats, **TOLERANCE)
    total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_counted_as_the_live_module(model: EncoderDecoder) -> None:
    cost = count(model.config)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    model.set_eager_attention(True)
    both = torch.zeros(2, model.config.context_length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(both, source=both)
    assert counter.get_total_flops() == cost.forward_flops * both.numel()
    state = model.encode(tokens(1, 64))
    model(tokens(1, 64), state=state)
    held = sum(buffer.numel() for buffer in [*state._keys, *state._values, *(part for pair in state.memory for part in pair)])
    assert 4 * held == state_bytes(model.config, 64) == state.bytes(64)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_size_they_are_named_by(name: str) -> None:
    config = ModelSettings(architecture="marian", preset=name).config(vocabulary_size=32_768)
    named = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
    cost = count(config)
    assert cost.parameters - cost.embedding_parameters == pytest.approx(named, rel=0.25)
    assert resized(config, "3m") == ModelSettings(architecture="marian", preset="3m").config(vocabulary_size=32_768)


def test_halves_may_differ_and_one_stack_has_none() -> None:
    settings = ModelSettings(architecture="mbart", preset="0.5m", layers=6, decoder_layers=2)
    first, second = settings.config(300).halves
    assert (first.layers, second.layers) == (6, 2)
    with pytest.raises(RecipeError, match="gpt2 has one stack of layers"):
        ModelSettings(architecture="gpt2", decoder_layers=2).config(300)


def test_a_token_of_pretraining_costs_what_its_source_and_its_target_do(model: EncoderDecoder) -> None:
    """A row of 64 tokens of which 16 are cut out, in 5 spans."""
    model.set_eager_attention(True)
    with FlopCounterMode(display=False) as counter:
        model(tokens(2, 16 + 5 + 1), source=tokens(2, 64 - 16 + 5))
    assert 2 * 64 * count_spans(model.config, share=0.25).forward_flops == pytest.approx(counter.get_total_flops(), rel=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_of_activations_are_those_that_autograd_keeps(
    make_encoder_decoder, dtype: str, eager: bool, dropout: float
) -> None:
    rows, context = 4, 64

    def kept(layers: int) -> int:
        model = make_encoder_decoder("mbart", layers=layers, decoder_layers=None).train()
        model.set_eager_attention(eager)
        model.set_dropout(dropout)
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        found: dict[int, torch.Tensor] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            found[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        inputs = torch.zeros(rows, context, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                total = model(inputs, inputs, inputs)
            assert total.requires_grad
        return sum(tensor.untyped_storage().nbytes() for place, tensor in found.items() if place not in weights)

    config = make_encoder_decoder("mbart", layers=1, decoder_layers=None).config
    cost = count(config)
    cast = 2 * (cost.matrix_parameters - cost.embedding_parameters) if dtype == "bfloat16" else 0
    expected = rows * context * activation_bytes(config, context, dtype, eager, dropout > 0) + cast
    assert kept(3) - kept(2) == pytest.approx(expected, rel=0.02)


def test_unfit_shapes_are_refused_with_all_that_is_wrong(make_encoder_decoder) -> None:
    with pytest.raises(ModelError) as error:
        make_encoder_decoder("marian", windows=(5,), decoder_layers=0)
    assert len(error.value.problems) == 3
