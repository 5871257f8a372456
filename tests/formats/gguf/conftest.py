"""Tiny models with random weights, as transformers itself writes them, with a tokenizer that textmill trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from textmill.tokens.tokenizer import Tokenizer

SHAPE = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**SHAPE, head_dim=32),
    "llama with biases": lambda: transformers.LlamaConfig(
        **SHAPE, attention_bias=True, mlp_bias=True, tie_word_embeddings=True
    ),
    "llama 3.1": lambda: transformers.LlamaConfig(
        **SHAPE, rope_parameters={**LLAMA3, "rope_theta": 500.0, "original_max_position_embeddings": 32}
    ),
    "llama, linear": lambda: transformers.LlamaConfig(
        **SHAPE, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    ),
    "mistral": lambda: transformers.MistralConfig(**SHAPE, sliding_window=None),
    "qwen2": lambda: transformers.Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "qwen3": lambda: transformers.Qwen3Config(**SHAPE, head_dim=32),
    "qwen3, YaRN": lambda: transformers.Qwen3Config(
        **SHAPE,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 1000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "beta_fast": 8.0,
        },
    ),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=512, n_positions=128, n_embd=64, n_layer=2, n_head=4, n_inner=96, bos_token_id=0, eos_token_id=0
    ),
}

_PIECES = ["th", "he", "the", "▁the", "▁c", "▁ca", "ca", "an", "can"]
_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁thecabn", *_PIECES]
# A tokenizer of the kind of Llama 2, as a GGUF file has it.
SENTENCEPIECE: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": _TOKENS,
    "tokenizer.ggml.token_type": np.array([2, 3, 3, *[6] * 256, *[1] * (len(_TOKENS) - 259)], dtype=np.int32),
    "tokenizer.ggml.scores": np.array([0.0] * 267 + [-2, -1, -3, -4, -6, -7, -5, -8, -9], dtype=np.float32),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
}


@pytest.fixture(scope="session")
def make_folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """The folder of one of MODELS, and the model itself."""
    made: dict[str, tuple[Path, Any]] = {}

    def make(name: str) -> tuple[Path, Any]:
        if name not in made:
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(MODELS[name]()).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(0.3 * torch.randn_like(parameter) + (parameter.dim() == 1) * 0.5)
            folder = tmp_path_factory.mktemp("model")
            model.save_pretrained(folder)
            tokenizer.save(folder)
            made[name] = folder, model
        return made[name]

    return make
