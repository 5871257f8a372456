"""How a byte-level tokenizer cuts text before its merges: llama.cpp has a name for each way, `tokenizer.ggml.pre`.

A name stands for regular expressions that cut one after the other; only what has a name can be exported, since llama.cpp would
cut any other text wrongly.
"""

from typing import Any

from tokenizers import Regex, pre_tokenizers

from ...errors import ModelError
from ...tokens.splitting import QWEN2

# GPT-2's (Radford et al. 2019), which is also what `ByteLevel` of the library cuts by.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DIGIT = r"\p{N}"
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

# Name -> the expressions, and whether a whole word that is a token is taken as such without merging.
SPLITTINGS: dict[str, tuple[tuple[str, ...], bool]] = {
    "gpt-2": ((GPT2,), False),
    "smollm": ((DIGIT, GPT2), False),
    "qwen2": ((QWEN2,), False),
    "llama-bpe": ((LLAMA3,), True),
    "smaug-bpe": ((LLAMA3,), False),
    # What llama.cpp takes where a file doesn't say: it has no tokenizer of its own.
    "default": ((r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"), False),
}
# Other names that llama.cpp gives to the same.
ALIASES = {
    "": "default",
    **dict.fromkeys(("mpt", "olmo", "phi-2", "exaone4", "trillion", "granite-docling", "modern-bert"), "gpt-2"),
    **dict.fromkeys(("starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), "smollm"),
    **dict.fromkeys(("deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"), "qwen2"),
    **dict.fromkeys(("llama3", "llama-v3", "falcon3", "pixtral", "lfm2"), "llama-bpe"),
    "dbrx": "smaug-bpe",
}


def splitting_of(name: str) -> tuple[pre_tokenizers.PreTokenizer, bool]:
    """What cuts a text and spells its bytes, and whether whole words are taken without merging. Raises ModelError for a name
    that isn't known here."""
    known = ALIASES.get(name, name)
    if known not in SPLITTINGS:
        raise ModelError(
            f"tokenizer.ggml.pre is {name!r}, a way to cut text that isn't known here; known are "
            f"{', '.join(sorted([*SPLITTINGS, *(alias for alias in ALIASES if alias)]))}"
        )
    expressions, whole_words = SPLITTINGS[known]
    steps = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in expressions]
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), whole_words


def name_of(content: dict[str, Any]) -> str:
    """llama.cpp's name for how the byte-level tokenizer of this tokenizer.json cuts text. Raises ModelError where it has
    none."""
    whole_words = bool(content["model"].get("ignore_merges"))
    if not content["model"]["merges"]:
        return "gpt-2"  # bytes alone are the same wherever the text is cut
    expressions = _expressions(content["pre_tokenizer"] or {})
    for name, splitting in SPLITTINGS.items():
        if splitting == (expressions, whole_words):
            return name
    raise ModelError(
        f"its tokenizer cuts text by {' and '.join(expressions) or 'nothing'}, for which llama.cpp has no name, so that it "
        f"would find other tokens; it has names for {', '.join(SPLITTINGS)}"
    )


def _expressions(step: dict[str, Any]) -> tuple[str, ...]:
    """The regular expressions by which a pre-tokenizer cuts; a word for a step that isn't one."""
    match step:
        case {"type": "Sequence", "pretokenizers": steps}:
            return tuple(expression for inner in steps for expression in _expressions(inner))
        case {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}:
            return (expression,)
        case {"type": "Digits", "individual_digits": True}:
            return (DIGIT,)
        case {"type": "ByteLevel", "add_prefix_space": False, **rest}:
            return (GPT2,) if rest.get("use_regex", True) else ()
        case {"type": kind}:
            return (f"a {kind} of another kind",)
    return ()
