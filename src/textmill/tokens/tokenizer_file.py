"""Reading someone's `tokenizer.json` without trusting it: bounded in size, checked before and after it is opened.

The tokenizers library takes what this lets through; what it would take and do differently from what the file says, or in
any amount of time or memory, is refused with the reason.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers

from ..errors import TokenizerError
from ..files import strict_json
from .patterns import pattern_problem
from .pieces import holds_all_bytes, spelling_of
from .special_tokens import END_OF_TEXT, MASK, PAD, SPAN, UNKNOWN

TOKENIZER_FILE = "tokenizer.json"
OLDER_FILES = ("tokenizer.model", "source.spm", "sentencepiece.bpe.model", "spiece.model", "vocab.txt", "merges.txt")
CONVERT = "transformers' AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes the new one beside it"
# The largest ones in use, of 256,000 tokens and 580,000 merges, have 35 million bytes and two million values. What is within
# these bounds is opened in a few seconds and a gigabyte or two.
LARGEST_FILE = 64_000_000  # bytes
MOST_VALUES = 3_000_000
MOST_OBJECTS = 200_000  # which take more memory than the rest
MOST_TOKENS = 1_000_000
MOST_GROWTH = 64  # characters that the steps of a normaliser together put in the place of one
KNOWN_MODELS = ("BPE", "WordPiece", "Unigram", "WordLevel")


def read_backend(folder: Path, trained_here: bool) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The tokenizer in `folder`, and what its tokenizer.json says, as the library writes it. Raises TokenizerError where there
    is none, or one that textmill can't vouch for.

    `trained_here`: it says that textmill made it, and must be as textmill makes them.
    """
    path = folder / TOKENIZER_FILE
    text, content = _read_json(path)
    _refuse(path, list(_problems_in(content)), "this file can't be used; fetch it anew, or have it made anew")
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except BaseException as error:  # the library raises a bare Exception for what it can't read, and panics at some of it
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise TokenizerError(f"{path} holds no tokenizer ({error}); have the tokenizer made anew") from error
    backend.no_truncation()
    backend.no_padding()
    opened = json.loads(backend.to_str())
    if trained_here:
        _refuse(path, _changes(opened, backend), "train one with textmill")
    _refuse(path, _strangeness(content, opened, backend), "textmill can't vouch for what it would make of a text")
    return backend, opened


def _refuse(path: Path, problems: list[str], advice: str) -> None:
    if problems:
        raise TokenizerError(*(f"{path}: {problem}; {advice}" for problem in problems))


def _read_json(path: Path) -> tuple[str, Any]:
    """The file's text, and what it says to every reader of JSON alike."""
    try:
        if path.is_file() and (size := path.stat().st_size) > LARGEST_FILE:
            raise TokenizerError(f"{path} has {size:,} bytes, and a tokenizer of more than {LARGEST_FILE:,} isn't opened")
        text = path.read_text(encoding="utf-8")
        objects, values = text.count("{"), text.count("{") + text.count("[") + text.count(",")
        if objects > MOST_OBJECTS or values > MOST_VALUES:
            raise TokenizerError(
                f"{path} has {objects:,} objects and {values:,} values, and a tokenizer of more than {MOST_OBJECTS:,} or "
                f"{MOST_VALUES:,} isn't opened"
            )
        return text, strict_json(text)
    except FileNotFoundError as error:
        older = next((name for name in OLDER_FILES if (path.parent / name).is_file()), None)
        advice = f"it holds {older}, the older form: {CONVERT}" if older else "give the folder that holds it"
        raise TokenizerError(f"there is no {TOKENIZER_FILE} in {path.parent}; {advice}") from error
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is not UTF-8 text (byte {error.start}); have the tokenizer made anew") from error
    except OSError as error:
        raise TokenizerError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} holds no tokenizer ({error}); have the tokenizer made anew") from error


def _problems_in(content: Any) -> Iterator[str]:
    """What keeps a file from being opened at all."""
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        yield "holds no tokenizer (no model)"
        return
    for component in _objects({key: value for key, value in content.items() if key not in ("model", "added_tokens")}):
        if isinstance(pattern := component.get("Regex"), str) and (problem := pattern_problem(pattern)):
            yield f"has a regular expression that could take any time: {problem}"
    growth = 1.0
    for step in _objects(content.get("normalizer")):
        inserted, pattern = step.get("content", step.get("prepend")), step.get("pattern")
        replaced = pattern.get("String") if isinstance(pattern, dict) else None
        if isinstance(inserted, str):
            growth *= max(1, len(inserted) / (len(replaced) if isinstance(replaced, str) and replaced else 1))
    if growth > MOST_GROWTH:
        yield f"puts {growth:,.0f} characters in the place of one"
    yield from _wrong_numbers(content)
    if content["model"].get("dropout"):
        yield f"drops merges at random (dropout = {content['model']['dropout']}), so that a text has no one encoding"


def _wrong_numbers(content: dict[str, Any]) -> Iterator[str]:
    """Why the tokens' numbers aren't 0, 1, 2, … without a gap. The library takes any, and then counts up to the largest."""
    vocabulary, added = content["model"].get("vocab"), content.get("added_tokens") or []
    if isinstance(vocabulary, list):  # Unigram: a piece's number is its place
        texts: list[Any] = [piece[0] if isinstance(piece, list) and piece else None for piece in vocabulary]
        ids: list[Any] = list(range(len(texts)))
    else:
        texts, ids = map(list, (vocabulary, vocabulary.values()) if isinstance(vocabulary, dict) else ([None], [None]))
    written = added if isinstance(added, list) else [added]
    known = [one if isinstance(one, dict) else {} for one in written]
    texts, ids = texts + [one.get("content") for one in known], ids + [one.get("id") for one in known]
    if len(texts) > MOST_TOKENS:
        yield f"has {len(texts):,} tokens, more than {MOST_TOKENS:,}"
    elif set(map(type, texts)) - {str} or set(map(type, ids)) - {int}:
        yield "has tokens that are no tokens: a text and its number"
    elif set((numbers := dict(zip(texts, ids, strict=True))).values()) != set(range(len(numbers))):
        yield f"its {len(numbers):,} tokens don't have the numbers 0 to {len(numbers) - 1:,}"


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in a value that isn't deep: json.loads has already refused what is."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _objects(inner)


def _strangeness(content: dict[str, Any], opened: dict[str, Any], backend: tokenizers.Tokenizer) -> list[str]:
    """What of a tokenizer from elsewhere isn't as its file says (`content`; `opened`: as the library writes it), or isn't known
    here."""
    problems = []
    if (model := opened["model"]["type"]) not in KNOWN_MODELS:
        problems.append(f"is of a kind that isn't known here ({model})")
    if spelling_of(opened) is None:
        problems.append(f"joins its pieces in a way that isn't known here (decoder {opened['decoder']['type']})")
    single = [step["single"] for step in _objects(opened["post_processor"]) if "single" in step]
    if any(sum("Sequence" in part for part in template) != 1 for template in single):
        problems.append("its post-processor writes a text not once, but more often or never")
    lying = [
        f"says that {token['content']!r} has the number {token['id']}, and it has {backend.token_to_id(token['content'])}"
        for token in content.get("added_tokens") or []
        if backend.token_to_id(token["content"]) != token["id"]
    ]
    return problems + lying[:5]


def _changes(content: dict[str, Any], backend: tokenizers.Tokenizer) -> list[str]:
    """Why a tokenizer isn't as textmill trains them: lossless but for unknown tokens and folded words, one separator, exact
    bytes."""
    problems = []
    folded = content["model"]["type"] == "WordLevel" and content["normalizer"] == {"type": "Lowercase"}
    vocabulary = backend.get_vocab()
    if END_OF_TEXT not in vocabulary:
        problems.append(f"has no {END_OF_TEXT} token, which begins and ends every document")
    if content["normalizer"] is not None and not folded:
        problems.append("has a normaliser, so that it can't give a text back as it was")
    decoder = (content["decoder"] or {}).get("type")
    if decoder != ("ByteLevel" if content["model"]["type"] == "BPE" else None if folded else "Fuse"):
        problems.append(f"joins its pieces in a way that isn't known here (decoder {decoder})")
    if decoder == "ByteLevel" and not holds_all_bytes(vocabulary):
        problems.append("lacks some of the 256 bytes, so that it can't hold every text")
    if '"add_prefix_space": true' in json.dumps(content["pre_tokenizer"]):
        problems.append("puts a space before each text, so that it can't give a text back as it was")
    own = {END_OF_TEXT, UNKNOWN, PAD, MASK} | {SPAN.format(number) for number in range(len(content["added_tokens"]))}
    if foreign := sorted({token["content"] for token in content["added_tokens"]} - own):
        problems.append(f"has special tokens that aren't known here: {', '.join(foreign[:5])}")
    return problems
