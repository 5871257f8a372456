"""An encoder–decoder writes what belongs to a source, and fills in what is missing from a text."""

import pytest
import torch
import transformers

from textmill.errors import GenerationError
from textmill.formats.model_folder import save_model_folder
from textmill.inference.beam import BeamSearch, beam_search
from textmill.inference.fill_spans import filled_row, filled_spans
from textmill.inference.generate import complete, generate, unwritable
from textmill.inference.likeliest import likeliest
from textmill.inference.sampling import Sampling, pick
from textmill.models.encoder_decoder import EncoderDecoder
from textmill.tokens.pairs import pair_batch
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.spans import MARKS
from textmill.tokens.special_tokens import PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

TEXT = "The class statement makes a class of it."
GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> Tokenizer:
    return train_tokenizer(TokenizerSettings(vocabulary_size=512), texts, special=[PAD, *MARKS])


@pytest.fixture(params=["marian", "mbart"])
def model(request: pytest.FixtureRequest, make_encoder_decoder) -> EncoderDecoder:
    return make_encoder_decoder(request.param)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, top_k=50, seed=3)])
def test_streamed_text_is_the_uncached_model_s_choice(model: EncoderDecoder, tokenizer: Tokenizer, sampling: Sampling) -> None:
    start = tokenizer.pad_id if model.config.decoder_start == "pad" else tokenizer.eos_id
    source, read = torch.tensor([tokenizer.encode_whole(TEXT)]), [start]
    for position in range(30):
        with torch.no_grad():
            logits = model(torch.tensor([read]), source=source)[0, -1]
        logits[tokenizer.pad_id] = -torch.inf
        token = pick(logits, read, sampling, position)
        if token == tokenizer.eos_id:
            break
        read.append(token)
    stream = tokenizer.decode_stream()
    assert complete(model, tokenizer, TEXT, sampling, max_tokens=30) == "".join(map(stream.step, read[1:]))


def test_transformers_writes_the_same_from_the_folder(model: EncoderDecoder, tokenizer: Tokenizer, tmp_path) -> None:
    save_model_folder(tmp_path / "model", model, tokenizer, {})
    stock = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model")
    stock_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    inputs = stock_tokenizer(TEXT, return_tensors="pt")
    assert inputs["input_ids"][0].tolist() == tokenizer.encode_whole(TEXT)
    written = stock.generate(**inputs, do_sample=False, max_new_tokens=12)[0, 1:]
    expected = stock_tokenizer.decode(written, skip_special_tokens=True)
    assert complete(model, tokenizer, TEXT, GREEDY, max_tokens=12) in (expected, expected.removesuffix("\ufffd"))


def test_a_source_that_does_not_fit_is_refused_and_a_target_ends_with_the_context(model, tokenizer) -> None:
    with pytest.raises(GenerationError, match="the model takes 1 to 64"):
        generate(model, tokenizer, TEXT * 20)
    with torch.no_grad():
        model.head.bias[tokenizer.eos_id] = -1e9
    *_, last = generate(model, tokenizer, TEXT, Sampling(temperature=2.0, seed=1), max_tokens=500)
    assert last.finish_reason == "context" and last.tokens == 63


def test_what_was_learnt_is_filled_in(make_encoder_decoder, tokenizer: Tokenizer) -> None:
    model = make_encoder_decoder("marian")
    model.initialise(seed=0)
    first, second = tokenizer.span_ids[:2]
    start, middle, end = (tokenizer.encode(part) for part in ("The", " makes a", " of it."))
    source = [*tokenizer.prefix, *start, first, *middle, second, *end]
    target = [first, *tokenizer.encode(" class statement"), second, *tokenizer.encode(" class"), tokenizer.eos_id]
    batch = pair_batch([(source, target)], tokenizer.pad_id, tokenizer.pad_id)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(batch.inputs, batch.targets, batch.source).backward()
        optimizer.step()
    expected = "The [class statement] makes a [class] of it."
    for text in ("The <|mask|> makes a <|mask|> of it.", "The <|span_7|> makes a <|span_7|> of it."):
        assert filled_spans(model, tokenizer, text) == expected
    ids = torch.tensor(source[len(tokenizer.prefix) :]).numpy()
    assert filled_row(model, tokenizer, ids) == expected


def test_texts_that_cannot_be_filled_in_are_refused(model, tokenizer, make_decoder) -> None:
    with pytest.raises(GenerationError, match=r"found 0; write <\|mask\|>"):
        filled_spans(model, tokenizer, TEXT)
    with pytest.raises(GenerationError, match="found 101"):
        filled_spans(model, tokenizer, "<|mask|>" * 101)
    with pytest.raises(GenerationError, match="context is 64"):
        filled_spans(model, tokenizer, TEXT * 20 + "<|mask|>")
    with pytest.raises(GenerationError, match="this decoder wasn't trained"):
        filled_spans(make_decoder(), tokenizer, "a <|mask|>")


def test_the_likeliest_answers_to_many_texts_are_those_to_each(model, tokenizer, make_decoder) -> None:
    texts, search = [TEXT, "An object", "The value of it is"], BeamSearch(beams=3)
    for each in (model, make_decoder()):
        together = likeliest(each, tokenizer, texts, search, max_tokens=10)
        assert together == [likeliest(each, tokenizer, [text], search, max_tokens=10)[0] for text in texts]
        assert all(len(answers) == 3 for answers in together)
        with pytest.raises(GenerationError, match=r"prompt 2 is \d+ tokens long"):
            likeliest(each, tokenizer, [TEXT, TEXT * 20], search)


def test_padding_and_what_cannot_be_spelt_are_never_written(model, tokenizer) -> None:
    with torch.no_grad():
        model.head.bias[tokenizer.pad_id] = 1e4
    assert tokenizer.pad_id not in beam_tokens(model, tokenizer)
    [[greedy]] = likeliest(model, tokenizer, [TEXT], BeamSearch(1), 5)
    assert complete(model, tokenizer, TEXT, GREEDY, max_tokens=5) in (greedy, greedy.removesuffix("\ufffd"))


def beam_tokens(model: EncoderDecoder, tokenizer: Tokenizer) -> list[int]:
    state, start = model.encode(torch.tensor([tokenizer.encode_whole(TEXT)])), torch.tensor([[tokenizer.eos_id]])
    return beam_search(model, state, start, BeamSearch(2), 9, tokenizer.end_ids, unwritable(model, tokenizer))[0][0].tokens
