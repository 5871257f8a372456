"""Tiny tokenizers as others make them, one of each kind that is in use, with the files that their makers write."""

import json
from collections.abc import Callable
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": {"content": "<unk>", "__type": "AddedToken"}}


def gpt2(texts: list[str], folder: Path) -> None:
    """Byte-level BPE; one special token; nothing is put before a text."""
    backend = _byte_level(texts, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    end = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    _write(folder, backend, {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, **end})


def llama3(texts: list[str], folder: Path) -> None:
    """Byte-level BPE; a post-processor puts BOS before a text; generation ends at two tokens, as another file says."""
    split = pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    backend = _byte_level(texts, pre_tokenizers.Sequence([split, spell]), special)
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[(special[0], backend.token_to_id(special[0]))]
    )
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    _write(folder, backend, {"bos_token": special[0], "eos_token": special[1], "tokenizer_class": "PreTrainedTokenizerFast"})
    ends = [backend.token_to_id(text) for text in special[1:]]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))


def chatml(texts: list[str], folder: Path) -> None:
    """Byte-level BPE with a chat template, digits apart, and tokens that aren't special: as SmolLM2 and Qwen2."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    split = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend = _byte_level(texts, split, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    backend.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    _write(
        folder,
        backend,
        {
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|im_end|>",
            "add_bos_token": False,
            "chat_template": CHATML,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )


def llama2(texts: list[str], folder: Path) -> None:
    """SentencePiece's BPE as converted for Llama-2: a normaliser writes the marks, bytes for rare characters."""
    backend = _sentencepiece(texts)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    _write(folder, backend, {**MARKED, "add_bos_token": True, "add_eos_token": False, "pad_token": None})


def mistral(texts: list[str], folder: Path) -> None:
    """The same as converted later: a splitter writes the marks, the first one only at the beginning of a text."""
    backend = _sentencepiece(texts)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    _write(folder, backend, MARKED)


def mbart(texts: list[str], folder: Path) -> None:
    """SentencePiece's Unigram; an end and a language behind each text; special pieces that its model itself knows."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=500, special_tokens=special, unk_token="<unk>", show_progress=False)
    backend.train_from_iterator(texts, trainer)
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["en_XX", "<mask>"])
    ids = [(text, backend.token_to_id(text)) for text in ("</s>", "en_XX")]
    backend.post_processor = processors.TemplateProcessing(single="$A </s> en_XX", special_tokens=ids)
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "unk", "mask")}
    _write(folder, backend, {**names, "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"})


def bert(texts: list[str], folder: Path) -> None:
    """WordPiece behind a normaliser that lowercases; its parts are named in special_tokens_map.json alone."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=special, limit_alphabet=60, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    backend.decoder = decoders.WordPiece()
    ids = [(text, backend.token_to_id(text)) for text in special[2:4]]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    backend.enable_truncation(8)
    backend.enable_padding(length=8, pad_token="[PAD]")
    _write(folder, backend, {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    names = {f"{text[1:-1].lower()}_token": text for text in special}
    (folder / "special_tokens_map.json").write_text(json.dumps(names))


def _sentencepiece(texts: list[str]) -> tokenizers.Tokenizer:
    learner = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    learner.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, limit_alphabet=60, show_progress=False)
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    backend = tokenizers.Tokenizer(
        models.BPE(model["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True, ignore_merges=False)
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in special[:3]])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


def _byte_level(texts: list[str], splitter: pre_tokenizers.PreTokenizer, special: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False))
    backend.add_special_tokens(special)
    return backend


def _write(folder: Path, backend: tokenizers.Tokenizer, config: dict) -> None:
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


MAKERS: dict[str, Callable[[list[str], Path], None]] = {
    maker.__name__: maker for maker in (gpt2, llama3, chatml, llama2, mistral, mbart, bert)
}
