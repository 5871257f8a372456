"""Generation: the cached path writes what the model would write uncached; whole characters; stop strings; ends."""

import dataclasses

import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import GenerationError
from textmill.inference.generate import complete, generate
from textmill.inference.sampling import Sampling, pick
from textmill.inference.writing import StopStrings
from textmill.tokens.tokenizer import Tokenizer

GREEDY = Sampling(temperature=0)


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(temperature=1.0, top_k=50, seed=3), Sampling(temperature=0, frequency_penalty=2.0)]
)
def test_streamed_text_is_the_uncached_model_s_choice(make_decoder, tokenizer, sampling: Sampling) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    read = [tokenizer.bos_id, *tokenizer.encode("The class")]
    start = len(read)
    for position in range(40):
        with torch.no_grad():
            token = pick(model(torch.tensor([read]))[0, -1], read, sampling, position, written=read[start:])
        if token == tokenizer.eos_id:
            break
        read.append(token)
    stream = tokenizer.decode_stream()
    whole_characters = "".join(map(stream.step, read[start:]))
    assert complete(model, tokenizer, "The class", sampling, max_tokens=40) == whole_characters


def test_pieces_are_whole_characters(make_decoder, tokenizer) -> None:
    """Random weights write random bytes, so characters are broken everywhere: none may come out in halves."""
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    sampling = Sampling(temperature=2.0, top_p=1.0, seed=1)
    pieces = list(generate(model, tokenizer, "", sampling, max_tokens=60))
    read = "".join(piece.text for piece in pieces)
    read.encode()  # no lone surrogates
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].finish_reason in ("length", "end")


def test_a_character_cut_by_the_limit_is_left_out(make_decoder, tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    [first_byte] = [id for id in range(tokenizer.vocabulary_size) if tokenizer.token_bytes(id) == "山".encode()[:1]]
    with torch.no_grad():
        model.head.weight[first_byte] = 100 * model.hidden(torch.tensor([[tokenizer.bos_id]]))[0, -1]
    assert complete(model, tokenizer, "", GREEDY, max_tokens=1) == ""


def test_ends_are_told_apart(make_decoder, tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    assert list(generate(model, tokenizer, "a", GREEDY, max_tokens=5))[-1].finish_reason in ("length", "end")
    with torch.no_grad():
        model.head.weight[tokenizer.eos_id] = 0
        model.head.weight[5] = 100 * model.norm.weight.sign()
    long = list(generate(model, tokenizer, "a", Sampling(temperature=5.0, top_p=1.0, seed=2), max_tokens=1000))
    assert long[-1].finish_reason in ("context", "end")
    assert long[-1].tokens <= model.config.context_length


def test_it_ends_at_every_token_that_ends_and_writes_none_that_there_is_not(make_decoder, tokenizer: Tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size + 8)
    with torch.no_grad():
        model.head.weight.zero_()
        hidden = model.hidden(torch.tensor([[tokenizer.bos_id]]))[0, -1]
        model.head.weight[tokenizer.vocabulary_size + 3] = 2 * hidden
        model.head.weight[300] = hidden
    [piece] = generate(model, tokenizer, "", GREEDY, max_tokens=1)
    assert (piece.text, piece.finish_reason) == (tokenizer.decode([300]), "length")
    special = dataclasses.replace(tokenizer.special, ends=frozenset({300}))
    ending = Tokenizer(tokenizers.Tokenizer.from_str(tokenizer._backend.to_str()), special)
    [piece] = generate(model, ending, "", GREEDY, max_tokens=1)
    assert (piece.text, piece.finish_reason) == ("", "end")


def test_a_prompt_too_long_is_an_error_with_both_numbers(make_decoder, tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    with pytest.raises(GenerationError, match=r"the prompt is \d+ tokens long, and the model's context of 64"):
        generate(model, tokenizer, "word " * 200)
    with pytest.raises(GenerationError, match="max_tokens"):
        generate(model, tokenizer, "a", max_tokens=0)
    with pytest.raises(GenerationError, match="empty"):
        generate(model, tokenizer, "a", stop=[""])


@given(st.text("abc", max_size=60), st.lists(st.text("abc", min_size=1, max_size=5), max_size=3), st.randoms())
def test_stop_strings_cut_at_the_first_one_however_the_text_is_split(text: str, stops: list[str], random) -> None:
    watcher, shown, stopped, rest = StopStrings(stops), "", False, text
    while rest and not stopped:
        size = random.randint(1, 4)
        piece, stopped = watcher.push(rest[:size])
        shown, rest = shown + piece, rest[size:]
    places = [text.find(stop) for stop in stops if stop in text]
    expected = text[: min(places)] if places else text
    if not stopped:
        shown += watcher.held
    # Of two stop strings, the one that ends first in the stream wins; it is never after the other's start.
    assert stopped == bool(places)
    assert text.startswith(shown)
    assert not places or len(shown) >= len(expected)
    assert not any(stop in shown for stop in stops)


@given(st.text("abc", max_size=40), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3), st.randoms())
def test_behind_a_text_that_disarms_them_stop_strings_stop_nothing(text: str, stops: list[str], random) -> None:
    watcher, shown, stopped, rest = StopStrings(stops, until="[x]"), "", False, "abc[x]" + text
    while rest and not stopped:
        size = random.randint(1, 4)
        piece, stopped = watcher.push(rest[:size])
        shown, rest = shown + piece, rest[size:]
    assert stopped == any(stop in "abc" for stop in stops)
    assert stopped or shown + watcher.held == "abc[x]" + text
