"""How each kind of vocabulary is learnt: from counts of runs, so that memory and time are bounded.

The same splitter cuts the text in training and in use; the document separator is token 0 in every kind.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from ..errors import TokenizerError
from ..interruption import run_stoppably
from ..progress import Progress
from .counting import (
    RunCounts,
    Sample,
    count_characters,
    count_runs,
    free_character,
    most_common,
    repeated,
    sample_text,
    single_characters,
    split_outside,
)
from .settings import Kind, TokenizerSettings
from .special_tokens import END_OF_TEXT, MASK, PAD, SPAN, UNKNOWN
from .splitting import LONGEST_RUN, byte_level_splitter, folding_splitter, splitter
from .tokenizer import Tokenizer

SEEN_AT_LEAST = 2  # a merge seen once is a quotation, not a rule
COVERAGE = 0.9995  # share of the text whose characters get a piece of their own (Kudo & Richardson 2018, SentencePiece)
ALPHABET_SHARE = 0.75  # of the vocabulary at most, so that Chinese leaves room for longer pieces
LONGEST_UNIGRAM = 16  # characters, SentencePiece's default


class TooLittleText(TokenizerError):
    """The texts hold only `found` different tokens, fewer than were asked for."""

    def __init__(self, settings: TokenizerSettings, found: int):
        self.found = found
        super().__init__(
            f"the text is too small for vocabulary_size = {settings.vocabulary_size}: {found} different tokens were "
            f"found for kind = '{settings.kind}'; give more text, write tokenizer.vocabulary_size = {found} or less, or take "
            "kind = 'byte'"
        )


def train_tokenizer(
    settings: TokenizerSettings, texts: Iterable[str], progress: Progress | None = None, special: Sequence[str] = ()
) -> Tokenizer:
    """Learn a tokenizer from the texts, read once. `progress` is advanced by bytes. `special`: further special tokens, of
    those named in special_tokens.py (`PAD`, `MASK`, `SPAN`), which count into the vocabulary's size.

    Raises TokenizerError where the texts hold nothing, or too little for so many tokens. The same texts, in any order,
    give the same tokenizer; but for `unigram`, whose scores the library sums in a random
    order, so that rare pieces and near-ties between two ways to cut may change from run to run.
    """
    special = _special_tokens(settings.kind, special)
    if settings.kind == "byte":
        return Tokenizer(_assemble(settings, _bytes_alone(special), frozenset(), special), training={"kind": "byte"})
    if settings.kind == "bpe" and settings.vocabulary_size < 256 + len(special):
        raise TokenizerError(
            f"vocabulary_size = {settings.vocabulary_size} cannot hold the 256 bytes and {len(special)} special tokens; write "
            f"{256 + len(special)} or more"
        )
    if settings.fold:
        texts = (text.lower() for text in texts)
    sample = sample_text(texts, settings.training_bytes, progress)
    if not sample.pieces:
        raise TokenizerError(
            f"the {sample.offered_texts} texts to train the tokenizer on hold no characters; give text, "
            "or kind = 'byte', which needs none"
        )
    runs = single_characters(sample) if settings.kind == "character" else _count_runs(settings, sample)
    alphabet = _alphabet(settings, runs.counts)
    model = _train_model(settings, runs.counts, alphabet, special)
    return Tokenizer(_assemble(settings, model, alphabet, special), training=_account(settings, sample, runs, alphabet))


def _count_runs(settings: TokenizerSettings, sample: Sample) -> RunCounts:
    runs = count_runs(sample, splitter(settings.kind, fold=settings.fold))
    if settings.fold:
        return RunCounts(Counter({run: count for run, count in runs.counts.items() if not run.isspace()}), runs.forgotten)
    return runs


def _special_tokens(kind: Kind, further: Sequence[str]) -> list[str]:
    """The special tokens of a vocabulary, in the order of their numbers: the separator first, `further` ones last."""
    if unknown := sorted(set(further) - {PAD, MASK} - {SPAN.format(number) for number in range(len(further))}):
        known = f"{PAD}, {MASK} and {SPAN.format(0)}, {SPAN.format(1)} and so on"
        raise TokenizerError(f"the special tokens of a tokenizer can be {known}, not {', '.join(unknown)}")
    own = [END_OF_TEXT] if kind in ("bpe", "byte") else [END_OF_TEXT, UNKNOWN]
    return [*own, *dict.fromkeys(further)]


def _train_model(
    settings: TokenizerSettings, counts: Counter[str], alphabet: frozenset[str], special: list[str]
) -> models.Model:
    match settings.kind:
        case "bpe":
            return _train_bpe(settings, counts, special)
        case "wordpiece":
            return _train_wordpiece(settings, split_outside(counts, alphabet), alphabet, special)
        case "unigram":
            return _train_unigram(settings, split_outside(counts, alphabet), alphabet, special)
        case "word":
            words = most_common(counts, settings.vocabulary_size - len(special))
            _refuse_shortfall(settings, len(words) + len(special))
            return _lookup([*special, *words])
        case _:
            return _lookup([*special, *most_common(counts, settings.vocabulary_size - len(special))])


def _train_bpe(settings: TokenizerSettings, counts: Counter[str], special: list[str]) -> models.Model:
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary_size,
        min_frequency=SEEN_AT_LEAST,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=special,
        show_progress=False,
    )
    learner = tokenizers.Tokenizer(models.BPE())
    separator = free_character(counts)
    at_separators = pre_tokenizers.CharDelimiterSplit(separator)
    learner.pre_tokenizer = pre_tokenizers.Sequence([at_separators, byte_level_splitter("byte")])
    run_stoppably(lambda: learner.train_from_iterator(repeated(counts, separator), trainer))
    _refuse_shortfall(settings, learner.get_vocab_size())
    return learner.model


def _train_wordpiece(
    settings: TokenizerSettings, counts: Counter[str], alphabet: frozenset[str], special: list[str]
) -> models.Model:
    """Longest match from the left. No `##`: a piece that begins a word is known by the space it begins with."""
    trainer = trainers.WordPieceTrainer(
        vocab_size=settings.vocabulary_size,
        min_frequency=SEEN_AT_LEAST,
        initial_alphabet=sorted(alphabet),
        special_tokens=special,
        continuing_subword_prefix="",
        show_progress=False,
    )
    learner = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN, continuing_subword_prefix=""))
    separator = free_character(counts)
    learner.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(separator)
    run_stoppably(lambda: learner.train_from_iterator(repeated(counts, separator), trainer))
    _refuse_shortfall(settings, learner.get_vocab_size())
    vocabulary = learner.get_vocab()
    return models.WordPiece(vocabulary, unk_token=UNKNOWN, continuing_subword_prefix="", max_input_chars_per_word=LONGEST_RUN)


def _train_unigram(
    settings: TokenizerSettings, counts: Counter[str], alphabet: frozenset[str], special: list[str]
) -> models.Model:
    trainer = trainers.UnigramTrainer(
        vocab_size=settings.vocabulary_size,
        initial_alphabet=sorted(alphabet),
        special_tokens=special,
        unk_token=UNKNOWN,
        max_piece_length=LONGEST_UNIGRAM,
        show_progress=False,
    )
    learner = tokenizers.Tokenizer(models.Unigram())
    separator = free_character(counts)
    learner.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(separator)
    run_stoppably(lambda: learner.train_from_iterator(repeated(counts, separator), trainer))
    _refuse_shortfall(settings, learner.get_vocab_size())
    # The trainer sums in an order that changes from run to run, and so do its scores, in the third decimal. Sorted by
    # the piece rather than by the score, a piece has at least the same number each time. And the library doesn't read
    # back every double as it wrote it; six decimals it does.
    scored = json.loads(learner.to_str())["model"]["vocab"]
    pieces = sorted((piece, round(score, 6)) for piece, score in scored if piece not in special)
    return models.Unigram([*((piece, 0.0) for piece in special), *pieces], unk_id=1, byte_fallback=False)


def _bytes_alone(special: list[str]) -> models.Model:
    pieces = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return models.BPE({piece: id for id, piece in enumerate(pieces)}, merges=[])


def _lookup(pieces: list[str]) -> models.Model:
    return models.WordLevel({piece: id for id, piece in enumerate(pieces)}, unk_token=UNKNOWN)


def _alphabet(settings: TokenizerSettings, counts: Counter[str]) -> frozenset[str]:
    """The most frequent characters, for the kinds whose longer pieces are made of them."""
    if settings.kind not in ("wordpiece", "unigram"):
        return frozenset()
    characters = count_characters(counts)
    alphabet, covered, enough = [], 0, COVERAGE * characters.total()
    for character in most_common(characters, int(ALPHABET_SHARE * settings.vocabulary_size)):
        if covered >= enough:
            break
        alphabet.append(character)
        covered += characters[character]
    return frozenset(alphabet)


def _refuse_shortfall(settings: TokenizerSettings, found: int) -> None:
    if found < settings.vocabulary_size:
        raise TooLittleText(settings, found)


def _assemble(
    settings: TokenizerSettings, model: models.Model, alphabet: frozenset[str], special: list[str]
) -> tokenizers.Tokenizer:
    """The model with everything that a tokenizer.json says beside it."""
    byte_level = settings.kind in ("bpe", "byte")
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = byte_level_splitter(settings.kind) if byte_level else splitter(settings.kind, alphabet)
    backend.decoder = decoders.ByteLevel() if byte_level else decoders.Fuse()
    if settings.fold:
        backend.normalizer, backend.pre_tokenizer, backend.decoder = normalizers.Lowercase(), folding_splitter(), None
    backend.add_special_tokens(special)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A",
        pair=f"{END_OF_TEXT} $A {END_OF_TEXT}:1 $B:1",
        special_tokens=[(END_OF_TEXT, backend.token_to_id(END_OF_TEXT))],
    )
    return backend


def _account(settings: TokenizerSettings, sample: Sample, runs: RunCounts, alphabet: frozenset[str]) -> dict[str, Any]:
    """What the tokenizer was made from, for its card: everything left out has its number."""
    account = settings.model_dump() | {
        "offered_texts": sample.offered_texts,
        "offered_bytes": sample.offered_bytes,
        "read_bytes": sample.bytes,
        "runs": runs.counts.total(),
        "different_runs": len(runs.counts),
        "runs_forgotten": runs.forgotten,
    }
    if alphabet:
        characters = count_characters(runs.counts)
        outside = sum(count for character, count in characters.items() if character not in alphabet)
        account |= {"alphabet": len(alphabet), "characters_outside_alphabet": outside}
    return account
