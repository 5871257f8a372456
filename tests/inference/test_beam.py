"""Beam search finds what transformers' own finds, for encoder–decoders and decoders, in batches of prompts of any length."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from textmill.errors import GenerationError
from textmill.formats.model_folder import save_model_folder
from textmill.inference.beam import BeamSearch, Hypothesis, beam_search, beam_steps
from textmill.inference.likeliest import likeliest
from textmill.models.encoder_decoder import EncoderDecoder
from textmill.tokens.pairs import pair_batch
from textmill.tokens.tokenizer import Tokenizer

LENGTHS = torch.tensor([17, 5, 11, 2])
END, PAD = 7, 3
NEAR = 1e-3  # scores that are closer may stand in either order
SEARCHES = [
    BeamSearch(),
    BeamSearch(beams=3, length_penalty=2.0, early_stopping=True),
    BeamSearch(beams=5, length_penalty=0.0, early_stopping="never"),
    BeamSearch(beams=4, length_penalty=-1.0),
    BeamSearch(beams=2, length_penalty=1.5, early_stopping="never"),
    BeamSearch(beams=1),
]


def ids(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(8, 512, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=["marian", "mbart"])
def model(request: pytest.FixtureRequest, make_encoder_decoder) -> EncoderDecoder:
    """One that has half learnt answers of many lengths: a random one says the same token over and over."""
    model = make_encoder_decoder(request.param)
    targets = [[*ids(1, 20, seed)[0, :length].tolist(), END] for seed, length in enumerate((3, 6, 10, 15))]
    batch = pair_batch(list(zip(ids(4, 17).tolist(), targets)), pad_id=PAD, start_id=PAD)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        model(batch.inputs, batch.targets, batch.source, LENGTHS).backward()
        optimizer.step()
    return model


def stock(model: Any, tokenizer: Tokenizer, folder: Path, auto: Any) -> Any:
    save_model_folder(folder, model, tokenizer, {})
    return auto.from_pretrained(folder).eval()


def generated(theirs: Any, search: BeamSearch, prompt_length: int, max_tokens: int, **inputs: Any) -> list[list[Hypothesis]]:
    """What transformers finds, as ours."""
    config = transformers.GenerationConfig(
        num_beams=search.beams,
        num_return_sequences=search.beams,
        length_penalty=search.length_penalty,
        early_stopping=search.early_stopping,
        do_sample=False,
        max_new_tokens=max_tokens,
        eos_token_id=END,
        pad_token_id=PAD,
        decoder_start_token_id=PAD,
        bad_words_ids=[[PAD]],
        return_dict_in_generate=True,
        output_scores=True,
    )
    found = theirs.generate(**inputs, generation_config=config)
    scores = found.sequences_scores if search.beams > 1 else torch.zeros(len(found.sequences))
    answers = []
    for sequence, score in zip(found.sequences[:, prompt_length:].tolist(), scores.tolist()):
        stops = [place for place, token in enumerate(sequence) if token in (END, PAD)]
        answers.append(Hypothesis(sequence[: stops[0]] if stops else sequence, score))
    return [answers[start : start + search.beams] for start in range(0, len(answers), search.beams)]


def compare(ours: list[list[Hypothesis]], theirs: list[list[Hypothesis]], scored: bool) -> int:
    """How many answers differ where two are nearly as good; any other difference fails."""
    near = 0
    for mine, other in zip(ours, theirs, strict=True):
        assert len(mine) == len(other)
        for one, two in zip(mine, other):
            if scored:
                assert one.score == pytest.approx(two.score, abs=NEAR)
            near += one.tokens != two.tokens
            assert one.tokens == two.tokens or scored
    return near


def test_encoder_decoders(model: EncoderDecoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    theirs = stock(model, tokenizer, tmp_path / "model", transformers.AutoModelForSeq2SeqLM)
    source, mask, start = ids(4, 17), (torch.arange(17) < LENGTHS[:, None]).long(), torch.full((4, 1), PAD)
    for search in SEARCHES:
        expected = generated(theirs, search, 1, 20, input_ids=source, attention_mask=mask)
        found = beam_search(model, model.encode(source, LENGTHS), start, search, 20, {END}, forbidden={PAD})
        assert compare(found, expected, scored=search.beams > 1) <= 1, search
        assert len({len(answer.tokens) for answers in found for answer in answers}) > 2


def test_decoders_with_prompts_of_any_length(make_decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_decoder()
    with torch.no_grad():
        model.head.weight[END] *= 3.0  # so that answers end
    theirs = stock(model, tokenizer, tmp_path / "model", transformers.AutoModelForCausalLM)
    prompts, padding = ids(3, 9), torch.tensor([0, 4, 2])
    mask = (torch.arange(9) >= padding[:, None]).long()
    for search in SEARCHES[:3]:
        expected = generated(theirs, search, 9, 12, input_ids=prompts, attention_mask=mask)
        found = beam_search(model, model.new_state(3), prompts, search, 12, {END}, forbidden={PAD}, padding=padding)
        assert compare(found, expected, scored=True) <= 1, search


def test_one_source_alone_is_as_in_a_batch(model: EncoderDecoder) -> None:
    search, source = BeamSearch(), ids(4, 17)
    together = beam_search(model, model.encode(source, LENGTHS), torch.full((4, 1), PAD), search, 15, {END})
    for row, length in enumerate(LENGTHS.tolist()):
        state = model.encode(source[row : row + 1, :length])
        alone = beam_search(model, state, torch.full((1, 1), PAD), search, 15, {END})[0]
        assert [answer.tokens for answer in alone] == [answer.tokens for answer in together[row]]


@pytest.mark.parametrize("family", ["decoder", "lstm"])
def test_prompts_in_parts_are_read_as_the_whole(make_decoder, make_recurrent, family: str) -> None:
    """Also where a part holds nothing of a short one; each part is a step, and each token of all beams."""
    model = make_decoder() if family == "decoder" else make_recurrent()
    prompts, padding, search = ids(3, 11), torch.tensor([0, 9, 4]), BeamSearch(3, early_stopping="never")
    whole = beam_search(model, model.new_state(3), prompts, search, 6, (), padding=padding)
    *steps, found = beam_steps(model, model.new_state(3), prompts, search, 6, (), padding=padding, most_read=4)
    assert steps == [None] * (3 + 5)
    assert found and [[one.tokens for one in answers] for answers in found] == [
        [one.tokens for one in answers] for answers in whole
    ]


def test_answers_fill_the_context_and_not_more(make_encoder_decoder) -> None:
    model = make_encoder_decoder("marian", context_length=12)
    state, start = model.encode(ids(1, 5)), torch.full((1, 1), PAD)
    [answers] = beam_search(model, state, start, BeamSearch(), 12, ())
    assert {len(answer.tokens) for answer in answers} == {12}
    with pytest.raises(GenerationError, match="must be from 1 to 12"):
        beam_search(model, model.encode(ids(1, 5)), start, BeamSearch(), 13, {END})
    with pytest.raises(GenerationError, match="beams"):
        BeamSearch(beams=0)


def test_more_beams_than_fit_are_refused_before_anything_is_read(make_decoder, tokenizer: Tokenizer) -> None:
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size)
    with pytest.raises(GenerationError, match=r"1,000,000,000 beams of up to .* bytes at worst, and .* are free; take fewer"):
        likeliest(model, tokenizer, ["The class"], BeamSearch(10**9))
