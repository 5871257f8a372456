"""The heads give what BERT's and ModernBERT's classes give, padded or not, and take the text's own tokens in every family."""

from typing import Any

import pytest
import torch
import transformers

from textmill.formats.layouts import LAYOUTS, layout_for
from textmill.models.heads import HEADS, MultiLabelHead, RegressionHead, SequenceHead, SpanHead, TaskModel, TokenHead

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
LENGTHS = torch.tensor([20, 7, 13])
STOCK = HEADS.keys() - {"chain"}  # which no stock class has
REAL = torch.arange(20) < LENGTHS[:, None]
INPUTS = torch.randint(8, 512, (3, 20), generator=torch.Generator().manual_seed(0))
OUTPUTS = {"sequence": 3, "multi_label": 3, "regression": 1, "token": 5, "span": 2}
TARGETS: dict[str, torch.Tensor] = {
    "sequence": torch.tensor([2, 0, 1]),
    "multi_label": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "regression": torch.tensor([[0.5], [-1.0], [2.0]]),
    "token": torch.where(REAL, INPUTS % 5, -100),
    "span": torch.tensor([[3, 9], [0, 6], [12, 12]]),
}


@pytest.fixture(params=[(model_type, kind) for model_type in ("bert", "modernbert") for kind in sorted(STOCK)], ids=str)
def pair(request: pytest.FixtureRequest, make_encoder) -> tuple[str, TaskModel, Any]:
    """A kind of head, our model under it, and the stock class with the same weights."""
    model_type, kind = request.param
    layout = LAYOUTS[model_type]
    class_name, output = layout.heads[kind]
    body = make_encoder(model_type, masked_head=False, pooler=model_type == "bert")
    values = {**layout.settings(body.config), "num_labels": OUTPUTS[kind], "vocab_size": 512}
    special = dict.fromkeys(["pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"], 0)
    theirs = getattr(transformers, class_name)(
        transformers.AutoConfig.for_model(model_type, **values, **special if model_type == "modernbert" else {})
    ).eval()
    generator = torch.Generator().manual_seed(5)
    for parameter in theirs.parameters():
        parameter.data.normal_(0.0, 0.3, generator=generator)
    tensors = theirs.state_dict()
    named = {name: tensors[name] for name in layout.stock_shapes(body.config) if name in tensors}
    ours = TaskModel(body, HEADS[kind](body.config, OUTPUTS[kind])).eval()
    weights = {f"body.{name}": tensor for name, tensor in layout.from_stock(named.items(), body.config)}
    ours_of = {f"{output}.": "head.output.", "bert.pooler.dense.": "head.pooler.", "head.": "head.transform."}
    for name, tensor in tensors.items():
        for stock, own in ours_of.items():
            if name.startswith(stock):
                weights[own + name.removeprefix(stock)] = tensor
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith("body.pooler") for name in missing)
    return kind, ours, theirs


def test_outputs_and_loss_are_those_of_the_stock_class(pair: tuple[str, TaskModel, Any]) -> None:
    kind, ours, theirs = pair
    targets = TARGETS[kind]
    labels: dict[str, Any] = {"labels": targets}
    if kind == "span":
        labels = {"start_positions": targets[:, 0], "end_positions": targets[:, 1]}
    with torch.no_grad():
        found = theirs(INPUTS, attention_mask=REAL.long(), **labels)
        outputs = ours(INPUTS, lengths=LENGTHS)
        loss = ours(INPUTS, targets, lengths=LENGTHS) / ours.head.count(targets)
    if kind == "span":
        places = torch.stack([found.start_logits, found.end_logits], dim=-1).masked_fill(~REAL[..., None], -torch.inf)
        torch.testing.assert_close(outputs, places, **TOLERANCE)  # padding can't be chosen
        expected = torch.nn.functional.cross_entropy(places, targets)
    else:
        real = REAL if kind == "token" else slice(None)
        torch.testing.assert_close(outputs[real], found.logits[real], **TOLERANCE)
        expected = found.loss
    torch.testing.assert_close(loss, expected, **TOLERANCE)


@pytest.mark.parametrize("head", [SequenceHead, MultiLabelHead, RegressionHead, TokenHead, SpanHead])
def test_in_every_family_padding_changes_nothing(
    head, make_encoder, make_decoder, make_recurrent, make_encoder_decoder
) -> None:
    encoders = make_encoder("bert"), make_encoder("modernbert")
    for body in (make_decoder(), *encoders, make_recurrent(), make_encoder_decoder("marian")):
        model = TaskModel(body, head(body.config, 2)).eval()
        outputs = model(INPUTS, lengths=LENGTHS)
        for row, length in enumerate(LENGTHS):
            alone = model(INPUTS[row : row + 1, :length])[0]
            whole = outputs[row, :length] if outputs.dim() == 3 else outputs[row]
            torch.testing.assert_close(whole, alone, **TOLERANCE)


def test_a_decoder_speaks_from_its_last_token_and_an_encoder_from_its_first(make_encoder, make_decoder) -> None:
    changed = INPUTS.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 512
    for body in (make_decoder(), make_encoder("modernbert")):
        model = TaskModel(body, SequenceHead(body.config, 4)).eval()
        assert not torch.allclose(model(INPUTS), model(changed), atol=1e-4)
    decoder = make_decoder()
    hidden, model = decoder.hidden(INPUTS), TaskModel(decoder, SequenceHead(decoder.config, 4)).eval()
    torch.testing.assert_close(model(INPUTS, lengths=LENGTHS)[1], model.head.output(hidden[1, 6]), **TOLERANCE)


def test_what_does_not_count_teaches_nothing(make_encoder) -> None:
    body = make_encoder("bert")
    sequence, span = SequenceHead(body.config, 3), SpanHead(body.config)
    outputs = torch.randn(3, 3)
    assert sequence.count(torch.tensor([2, -100, -100])) == 1
    torch.testing.assert_close(
        sequence.loss(outputs, torch.tensor([2, -100, -100])), sequence.loss(outputs[:1], torch.tensor([2]))
    )
    assert span.count(torch.tensor([[1, 2], [-100, -100]])) == 1


def test_the_layouts_name_the_classes_that_hold_them(make_encoder) -> None:
    for model_type in ("bert", "modernbert"):
        assert layout_for(make_encoder(model_type).config).heads.keys() == STOCK
