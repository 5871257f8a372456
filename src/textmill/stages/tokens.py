"""The tokenizer and tokens stages: training text -> tokenizer and its card -> memory-mapped token shards."""

import time
from typing import Any

from ..files import atomic_folder, fingerprint, write_json
from ..progress import format_count, rate
from ..tokens.card import tokenizer_card
from ..tokens.shards import write_shards
from ..tokens.training import train_tokenizer
from .families import FAMILIES
from .workplace import Workplace

CARD_BYTES = 2_000_000  # of validation text that the tokenizer's card is measured on


def special_tokens(place: Workplace) -> Any:
    """What the tokenizer depends on beside its own section: the tokens that the model's family asks for, if any."""
    return list(FAMILIES[place.recipe.model.family].special_tokens) or None


def make_tokenizer(place: Workplace) -> dict[str, Any]:
    """Training text -> tokenizer, and its card measured on the validation text."""
    with place.text_progress("  tokenizer") as progress:
        texts = (document.text for document in place.train_documents())
        special = FAMILIES[place.recipe.model.family].special_tokens
        tokenizer = train_tokenizer(place.recipe.tokenizer, texts, progress, special)
    with atomic_folder(place.folder / "tokenizer") as folder:
        tokenizer.save(folder)
        card = tokenizer_card(tokenizer, (document.text for document in place.validation_documents(CARD_BYTES)))
        write_json(folder / "card.json", card)
    print(
        f"  {tokenizer.kind}, {tokenizer.vocabulary_size:,} tokens, {card['bytes_per_token']:.2f} bytes per token "
        "of validation text"
    )
    return {"hash": tokenizer.hash, "kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size, **card}


def make_tokens(place: Workplace) -> dict[str, Any]:
    """Training text -> memory-mapped token shards."""
    with place.text_progress("  tokens") as progress:
        shards = write_shards(
            place.folder / "tokens", place.tokenizer(), place.train_documents(), progress=progress
        )  # which writes atomically
        seconds = time.perf_counter() - progress.started
    print(
        f"  {format_count(shards['tokens'])} tokens in {shards['documents']:,} documents; "
        f"{rate(shards['text_bytes'] / 1e6 / seconds)} MB/s"
    )
    return {
        "hash": fingerprint(shards),
        **{key: shards[key] for key in ("documents", "tokens", "text_bytes", "lost_bytes")},
    }
