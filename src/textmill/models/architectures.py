"""The architectures by the names that everybody calls them: which family each is of, and what sets its shape apart.

A name is also the `model_type` of the class of transformers that holds it (formats/). Sources: GPT-2, Radford et al. 2019;
Llama, Touvron et al. 2023; Mistral, Jiang et al. 2023; Qwen2 and Qwen3, Yang et al. 2024 and 2025; Marian, Junczys-Dowmunt et
al. 2018, whose layout is the original Transformer's (Vaswani et al. 2017); mBART, Liu et al. 2020; BERT, Devlin et al. 2019;
ModernBERT, Warner et al. 2024. No class of transformers holds a recurrent one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .bidirectional import Bidirectional, BidirectionalConfig
from .config import ModelConfig
from .convolutional import Convolutional, ConvolutionalConfig
from .decoder import Decoder, DecoderConfig
from .encoder import Encoder, EncoderConfig
from .encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from .language_model import LanguageModel
from .recurrent import Recurrent, RecurrentConfig


@dataclass(frozen=True)
class Architecture:
    """`config` is the class of its shapes, `differs` what of its defaults is another here; `windows` in it are repeated over
    the layers."""

    config: type[Any]
    differs: Mapping[str, Any]

    @property
    def family(self) -> str:
        """recurrent, bidirectional, convolutional, decoder, encoder, encoder-decoder: which class of models it is."""
        return FAMILIES[self.config].family


FAMILIES: dict[type[Any], type[LanguageModel]] = {
    RecurrentConfig: Recurrent,
    BidirectionalConfig: Bidirectional,
    ConvolutionalConfig: Convolutional,
    DecoderConfig: Decoder,
    EncoderConfig: Encoder,
    EncoderDecoderConfig: EncoderDecoder,
}

_CLASSIC: dict[str, Any] = {  # the layers of the original Transformer, but for where their norms stand
    "norm": "layer",
    "norm_epsilon": 1e-5,
    "norm_bias": True,
    "query_key_norm": False,
    "query_key_value_bias": True,
    "attention_output_bias": True,
    "gated": False,
    "feed_forward_bias": True,
    "tied_embeddings": True,
}

ARCHITECTURES = {
    "qwen3": Architecture(DecoderConfig, {}),
    "qwen2": Architecture(DecoderConfig, {"query_key_norm": False, "query_key_value_bias": True}),
    "llama": Architecture(DecoderConfig, {"query_key_norm": False}),
    "mistral": Architecture(DecoderConfig, {"query_key_norm": False}),
    "gpt2": Architecture(
        DecoderConfig,
        {**_CLASSIC, "positions": "learned", "activation": "gelu_tanh"},
    ),
    "marian": Architecture(
        EncoderDecoderConfig,
        {**_CLASSIC, "positions": "sinusoidal", "post_norm": True, "embedding_scale": True, "activation": "relu"},
    ),
    "mbart": Architecture(
        EncoderDecoderConfig,
        {
            **_CLASSIC,
            "positions": "learned",
            "position_offset": 2,
            "embedding_norm": True,
            "embedding_scale": True,
            "activation": "gelu",
            "decoder_start": "last",
        },
    ),
    "bert": Architecture(
        EncoderConfig,
        {
            **_CLASSIC,
            "positions": "learned",
            "norm_epsilon": 1e-12,
            "post_norm": True,
            "embedding_norm": True,
            "activation": "gelu",
            "token_types": 2,
        },
    ),
    "modernbert": Architecture(
        EncoderConfig,
        {
            "windows": (0, 128, 128),
            "rope_theta": 160_000.0,
            "local_rope_theta": 10_000.0,
            "norm": "layer",
            "norm_epsilon": 1e-5,
            "first_attention_norm": False,
            "embedding_norm": True,
            "query_key_norm": False,
            "activation": "gelu",
            "tied_embeddings": True,
            "masked_head_bias": False,
        },
    ),
    "lstm": Architecture(RecurrentConfig, {"cell": "lstm"}),
    "gru": Architecture(RecurrentConfig, {"cell": "gru"}),
    "rnn": Architecture(RecurrentConfig, {"cell": "rnn"}),
    "bilstm": Architecture(BidirectionalConfig, {"cell": "lstm"}),
    "bigru": Architecture(BidirectionalConfig, {"cell": "gru"}),
    "cnn": Architecture(ConvolutionalConfig, {}),
}


def build(config: ModelConfig) -> LanguageModel:
    """The model of this shape, its weights not yet set."""
    return FAMILIES[type(config)](config)


def build_unset(config: ModelConfig) -> LanguageModel:
    """The same, for weights that are known: none is set at random, and memory that nobody has written to isn't taken."""
    with _Unset():
        return build(config)


def build_empty(config: ModelConfig) -> LanguageModel:
    """The same without memory for its weights, to be counted or looked at."""
    with torch.device("meta"), _Unset():
        return build(config)


class _Unset(TorchFunctionMode):
    """Lets torch set no weight at random: of weights that are known it would be for nothing, and without memory torch loads
    its compiler for it, which takes two seconds."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if getattr(function, "__module__", None) == "torch.nn.init":
            return (named or {}).get("tensor")
        return function(*arguments, **(named or {}))
