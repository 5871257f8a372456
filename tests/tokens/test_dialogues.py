"""Which tokens of a conversation are asked for: the answers', whole and alone, whatever a message spells; templates that
rewrite are refused; rows are shared without a token lost."""

import numpy as np
import pytest
import torch

from textmill.errors import TokenizerError
from textmill.tokens.chat_template import ChatTemplate
from textmill.tokens.dialogues import (
    DialogueLoader,
    DialogueTokens,
    dialogue_batch,
    encode_dialogue,
    packed,
    with_template,
)
from textmill.tokens.loader import IGNORED
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

TURNS = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "Nobody — 没人."},
    {"role": "user", "content": "Why <|endoftext|> so?"},
    {"role": "assistant", "content": "By <|endoftext|> choice"},
)


@pytest.fixture
def tokenizer() -> Tokenizer:
    texts = [message["content"] for message in TURNS] * 3 + ["user\n", "assistant\n"]
    return train_tokenizer(TokenizerSettings(kind="bpe", vocabulary_size=270), texts)


def test_the_answers_with_their_ends_are_asked_for_and_nothing_else(tokenizer: Tokenizer) -> None:
    assert with_template(tokenizer) and not with_template(tokenizer)
    found = encode_dialogue(tokenizer, TURNS)
    assert found.tokens.tolist() == tokenizer.encode_chat(TURNS, add_generation_prompt=False)[: len(found.tokens)]
    runs = np.split(np.arange(len(found.tokens)), np.flatnonzero(np.diff(found.asked.astype(int))) + 1)
    answers = [found.tokens[run].tolist() for run in runs if found.asked[run[0]]]
    assert [tokenizer.decode(ids) for ids in answers] == ["Nobody — 没人.", "By <|endoftext|> choice"]
    for ids in answers:  # one that ends it, and none that the text spells
        assert [id == tokenizer.eos_id for id in ids] == [False] * (len(ids) - 1) + [True]
    assert found.answer_bytes == sum(len(TURNS[place]["content"].encode()) for place in (2, 4))
    for place in (2, 4):  # what the model is given to answer is what stands before the answer here
        prompt = tokenizer.encode_chat(TURNS[:place])
        assert found.tokens[: len(prompt)].tolist() == prompt and found.asked[len(prompt)] and not found.asked[len(prompt) - 1]


def test_a_greeting_before_any_question_is_no_answer(tokenizer: Tokenizer) -> None:
    with_template(tokenizer)
    greeting = {"role": "assistant", "content": "Nobody"}
    found = encode_dialogue(tokenizer, [greeting, *TURNS[1:3]])
    assert len(found.answers) == 1
    with pytest.raises(TokenizerError, match="no answer"):
        encode_dialogue(tokenizer, [greeting])


def test_a_cut_is_behind_an_answer(tokenizer: Tokenizer) -> None:
    with_template(tokenizer)
    found = encode_dialogue(tokenizer, TURNS)
    first = encode_dialogue(tokenizer, TURNS[:3])
    for longest in (len(first.tokens), len(found.tokens) - 1):
        kept = found.within(longest)
        assert kept is not None and kept.tokens.tolist() == first.tokens.tolist() and kept.answers == first.answers
    assert found.within(len(found.tokens)) is found
    assert found.within(len(first.tokens) - 1) is None


def test_templates_that_rewrite_or_never_end_are_refused(tokenizer: Tokenizer) -> None:
    numbered = "{% for m in messages %}{{ loop.revindex }}{{ m['content'] + eos_token }}{% endfor %}"
    tokenizer.chat_template = ChatTemplate(numbered)
    with pytest.raises(TokenizerError, match="otherwise once message 3"):
        encode_dialogue(tokenizer, TURNS)
    tokenizer.chat_template = ChatTemplate("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(TokenizerError, match="never learn to stop"):
        encode_dialogue(tokenizer, TURNS)


def made(length: int, seed: int) -> DialogueTokens:
    asked = np.arange(length) >= length // 2
    return DialogueTokens(np.random.default_rng(seed).integers(1, 50, length), asked, ((length, length),))


def test_shared_rows_hold_every_conversation_once_and_whole() -> None:
    lengths = [3, 9, 4, 4, 2, 10, 1, 5]
    rows = packed(lengths, 10)
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
    assert len(rows) == 4 and all(sum(lengths[place] for place in row) <= 10 for row in rows)
    dialogues = [made(length + 1, seed) for seed, length in enumerate(lengths)]
    batch = dialogue_batch(dialogues, room=10)
    assert batch.segments is not None and batch.inputs.shape == (4, 10)
    pieces = []
    for row, segments in enumerate(batch.segments):
        for segment in segments.unique():
            here = segments == segment
            if segment >= 0:
                assert batch.positions[row, here].tolist() == list(range(int(here.sum())))
                pieces.append((batch.inputs[row, here].tolist(), batch.targets[row, here].tolist()))
            else:
                assert (batch.targets[row, here] == IGNORED).all()
    wanted = [(each.tokens[:-1].tolist(), np.where(each.asked[1:], each.tokens[1:], IGNORED).tolist()) for each in dialogues]
    assert sorted(pieces) == sorted(wanted)


def test_an_epoch_reads_each_conversation_once_and_batches_are_functions_of_the_step() -> None:
    dialogues = [made(3 + number % 7, number) for number in range(21)]
    loader, other = (DialogueLoader(dialogues, batch_size=4, seed=3, room=16) for _ in range(2))
    steps = range(loader.steps_per_epoch)
    asked = sum(loader.batch(step).tokens for step in steps)
    assert asked == sum(int(each.asked.sum()) for each in dialogues) == loader.tokens_before(len(steps))
    for step in reversed(range(9)):
        assert torch.equal(loader.batch(step).inputs, other.batch(step).inputs)
    assert any(not torch.equal(loader.batch(step).inputs, loader.batch(step + len(steps)).inputs) for step in steps)
