"""Training is bounded, deterministic, and says what it can't do."""

import random
from collections import Counter

import pydantic
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import TokenizerError
from textmill.tokens.counting import (
    ENTRY_COST,
    SAMPLE_PIECE,
    Sample,
    count_runs,
    free_character,
    most_common,
    repeated,
    sample_text,
    split_outside,
)
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import MASK, PAD, SPAN
from textmill.tokens.splitting import LONGEST_RUN, splitter, words
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

KINDS = ("bpe", "byte", "character", "wordpiece", "unigram", "word")
LEARNT = ("bpe", "wordpiece", "unigram", "word")

WORST_CASES = {
    "one letter": "a" * 100_000,
    "spaces": " " * 100_000,
    "line ends": "\n \n" * 30_000,
    "punctuation": "!" * 100_000,
    "marks": "e" + "\u0301" * 100_000,
    "Han": "".join(random.Random(0).choices([chr(point) for point in range(0x4E00, 0x5E00)], k=100_000)),
}


@pytest.mark.parametrize("text", WORST_CASES.values(), ids=WORST_CASES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "byte"])
def test_no_run_is_longer_than_256_characters(kind, text: str) -> None:
    counts = count_runs(sample_text([text], 10**9), splitter(kind)).counts
    assert max(map(len, counts)) <= LONGEST_RUN
    assert sum(len(run) * count for run, count in counts.items()) == len(text)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unigram"])
def test_the_order_of_the_texts_does_not_matter(kind, texts: list[str]) -> None:
    wanted = TokenizerSettings(kind=kind, vocabulary_size=400)
    assert train_tokenizer(wanted, texts).hash == train_tokenizer(wanted, iter(texts[::-1])).hash


def test_unigram_cuts_nearly_the_same_way_each_time(texts: list[str]) -> None:
    """The library sums its scores in random order, so this much is all that can be promised."""
    wanted = TokenizerSettings(kind="unigram", vocabulary_size=400)
    counts = [sum(map(len, train_tokenizer(wanted, texts).encode_batch(texts))) for _ in range(2)]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_further_special_tokens_have_numbers_of_their_own_and_come_back(kind, texts: list[str], tmp_path) -> None:
    spans = [SPAN.format(number) for number in range(3)]
    wanted = TokenizerSettings(kind=kind, vocabulary_size=400)
    trained = train_tokenizer(wanted, texts, special=[PAD, MASK, *spans])
    assert kind in ("byte", "character") or trained.vocabulary_size == 400
    trained.save(tmp_path)
    loaded, stock = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    first = 1 if loaded.unknown_id is None else 2
    assert (loaded.pad_id, loaded.mask_id, loaded.span_ids) == (first, first + 1, [first + 2, first + 3, first + 4])
    assert (stock.pad_token_id, stock.mask_token_id) == (loaded.pad_id, loaded.mask_id)
    assert loaded.special_ids == set(range(first + 5))
    text = f"the{PAD}class {MASK} {spans[0]}"
    assert loaded.special_ids.isdisjoint(set(loaded.encode(text)) - {loaded.unknown_id})
    assert loaded.decode([loaded.mask_id, *loaded.encode("the class"), loaded.pad_id]) == loaded.decode(
        loaded.encode("the class")
    )


def test_special_tokens_that_could_not_be_loaded_are_refused(texts: list[str]) -> None:
    with pytest.raises(TokenizerError, match=r"not <\|other\|>"):
        train_tokenizer(TokenizerSettings(), texts, special=["<|other|>"])
    with pytest.raises(TokenizerError, match="256 bytes and 3 special tokens; write 259"):
        train_tokenizer(TokenizerSettings(vocabulary_size=258), texts, special=[PAD, MASK])


@pytest.mark.parametrize("kind", LEARNT)
def test_exactly_as_many_tokens_as_asked(kind, tokenizers_by_kind) -> None:
    assert tokenizers_by_kind[kind].vocabulary_size == 600


def test_byte_has_257_and_character_no_more_than_there_are(tokenizers_by_kind, texts: list[str]) -> None:
    assert tokenizers_by_kind["byte"].vocabulary_size == 257
    assert tokenizers_by_kind["character"].vocabulary_size == len(set("".join(texts))) + 2


def test_the_account_says_what_was_read(tokenizers_by_kind, texts: list[str]) -> None:
    account = tokenizers_by_kind["wordpiece"].training
    size = sum(len(text.encode()) for text in texts)
    assert (account["offered_texts"], account["offered_bytes"], account["read_bytes"]) == (len(texts), size, size)
    assert account["runs_forgotten"] == 0


class TestSample:
    def test_is_bounded_spread_and_the_same_in_any_order(self, texts: list[str]) -> None:
        total = sum(len(text.encode()) for text in texts)
        sample = sample_text(texts, total // 2)
        assert total // 2 - 4 * 2 * SAMPLE_PIECE < sample.bytes <= total // 2
        assert sample.bytes == sum(len(piece.encode()) for piece in sample.pieces)
        assert sample.offered_bytes == total
        assert sample_text(texts[::-1], total // 2).pieces == sample.pieces
        positions = [number for number, text in enumerate(texts) if any(piece in text for piece in sample.pieces)]
        assert min(positions) < len(texts) // 3
        assert max(positions) > 2 * len(texts) // 3

    def test_keeps_everything_that_fits(self, texts: list[str]) -> None:
        assert Counter("".join(sample_text(texts, 10**9).pieces)) == Counter("".join(texts))

    def test_pieces_are_short_even_where_there_is_no_place_to_cut(self) -> None:
        assert max(map(len, sample_text(["字" * 100_000], 10**9).pieces)) <= 2 * SAMPLE_PIECE


def test_a_full_table_forgets_the_rarest_and_counts_them() -> None:
    pieces = [" often" * 50 + f" w{'xyz'[n % 3]}{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
    limit = 200 * (ENTRY_COST + 6)
    runs = count_runs(sample_text(pieces, 10**9), splitter("bpe"), table_limit=limit)
    assert runs.counts[" often"] == 50 * 600
    assert sum((len(run) + ENTRY_COST) for run in runs.counts) <= limit + 2 * (ENTRY_COST + 6)
    assert runs.counts.total() + runs.forgotten == 51 * 600
    assert runs.forgotten > 0


@given(st.dictionaries(st.text("ab", min_size=1, max_size=4), st.integers(1, 10_000), max_size=6))
@settings(max_examples=40)
def test_a_trainer_is_fed_every_run_as_often_as_it_was_seen(counts: dict[str, int]) -> None:
    fed: Counter[str] = Counter()
    for text in repeated(Counter(counts), "|"):
        *runs, rest = text.split("|")
        assert not rest
        fed.update(runs)
    assert fed == Counter(counts)


def test_the_separator_is_in_no_run() -> None:
    assert free_character(Counter()) == "\U0010ffff"
    assert free_character(Counter({"a\U0010ffff": 1, "\U0010fffe": 2})) == "\U0010fffd"


@pytest.mark.parametrize("kind", ["bpe", "word"])
@given(st.text(st.sampled_from("aB3é_ '.,(\n\t\r\u0301中ก—“") | st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"])))
def test_words_counted_first_give_the_runs_of_the_whole_text(kind, text: str) -> None:
    whole = [run for run, _ in splitter(kind).pre_tokenize_str(text)]
    assert count_runs(Sample([text], 0, 1, 0), splitter(kind)).counts == Counter(whole)
    assert "".join(words(text)) == text


def test_runs_are_cut_at_characters_outside_the_alphabet() -> None:
    assert split_outside(Counter({"abxc": 2, "ab": 1, "x": 5}), frozenset("abc")) == {"ab": 3, "c": 2}


def test_equally_frequent_keys_come_in_the_order_of_their_code_points() -> None:
    assert most_common(Counter({"z": 1, "b": 2, "a": 1, "c": 2}), 3) == ["b", "c", "a"]


class TestErrors:
    @pytest.mark.parametrize("kind", LEARNT)
    def test_too_little_text_names_a_size_that_works(self, kind, texts: list[str]) -> None:
        few = texts[:1]
        with pytest.raises(TokenizerError, match=r"vocabulary_size = 60000: \d+ different tokens") as caught:
            train_tokenizer(TokenizerSettings(kind=kind, vocabulary_size=60_000), few)
        found = int(str(caught.value).split(": ")[1].split()[0])
        assert train_tokenizer(TokenizerSettings(kind=kind, vocabulary_size=found), few).vocabulary_size == found

    @pytest.mark.parametrize("kind", LEARNT)
    @pytest.mark.parametrize("text", ["a", "a a", "字", " "])
    def test_next_to_no_text(self, kind, text: str) -> None:
        with pytest.raises(TokenizerError, match="too small"):
            train_tokenizer(TokenizerSettings(kind=kind), [text])

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "byte"])
    @pytest.mark.parametrize("texts", [[], ["", ""]])
    def test_empty_texts(self, kind, texts: list[str]) -> None:
        with pytest.raises(TokenizerError, match=f"the {len(texts)} texts .* hold no characters"):
            train_tokenizer(TokenizerSettings(kind=kind), texts)

    def test_too_few_tokens_for_the_bytes(self) -> None:
        with pytest.raises(pydantic.ValidationError, match="256 bytes"):
            TokenizerSettings(kind="bpe", vocabulary_size=256)
        assert TokenizerSettings(kind="word", vocabulary_size=256).vocabulary_size == 256
