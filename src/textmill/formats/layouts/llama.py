"""`LlamaForCausalLM` and its kin, which differ in biases, windows and norms: Mistral, Qwen2, Qwen3 and Starcoder2."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ...models.decoder import DecoderConfig
from .decoders import DecoderLayout, task_heads
from .layout import Piece
from .rope import read_rope, rope_settings
from .stock_config import ACTIVATIONS, LONGEST_CONTEXT, MOST_LAYERS, STOCK_ACTIVATIONS, StockConfig

# ours -> theirs, within one layer
NORMS = {"attention_norm": "input_layernorm", "feed_forward_norm": "post_attention_layernorm"}
QUERY_KEY_VALUE = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
}
OUTPUT = {"attention.output": "self_attn.o_proj"}
HEAD_NORMS = {"attention.query_norm": "self_attn.q_norm", "attention.key_norm": "self_attn.k_norm"}
FEED_FORWARD = {"feed_forward.gate": "mlp.gate_proj", "feed_forward.up": "mlp.up_proj", "feed_forward.down": "mlp.down_proj"}


class LlamaLikeLayout(DecoderLayout):
    """What the classes have in common. `bias_keys`: flags of a config.json, and which of our settings each of them sets;
    `norm_key`: its name for the norms' epsilon; `defaults`: what holds where it doesn't say."""

    prefix = "model."
    embedding = "model.embed_tokens.weight"
    passed_over = (r"(.*\.)?rotary_emb\.inv_freq",)
    holds: ClassVar = {"rope_scaling": ()}
    bias_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    feed_forward: ClassVar[Mapping[str, str]] = FEED_FORWARD
    norm_key = "rms_norm_eps"
    defaults: ClassVar[Mapping[str, Any]] = {"flags": False, "hidden_act": "silu", "epsilon": 1e-6}

    def further_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        for key, names in self.bias_keys.items():
            if len({getattr(config, name) for name in names}) > 1:
                yield f"{' and '.join(names)} differ, and {self.model_type} has one {key} for them"

    def pieces(self, config: DecoderConfig) -> list[Piece]:
        """Every tensor of the class."""
        outer = {"embedding.weight": self.embedding, "norm.weight": "model.norm.weight"}
        if config.norm_bias:
            outer["norm.bias"] = "model.norm.bias"
        if not config.tied_embeddings:
            outer["head.weight"] = self.head
        weights = {**NORMS, **QUERY_KEY_VALUE, **OUTPUT, **self.feed_forward, **(HEAD_NORMS if config.query_key_norm else {})}
        biases = {
            **(QUERY_KEY_VALUE if config.query_key_value_bias else {}),
            **(OUTPUT if config.attention_output_bias else {}),
            **(self.feed_forward if config.feed_forward_bias else {}),
            **(NORMS if config.norm_bias else {}),
        }
        inner = {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in weights.items()}
        inner |= {f"{ours}.bias": f"{theirs}.bias" for ours, theirs in biases.items()}
        layers = {
            f"blocks.{layer}.{ours}": f"model.layers.{layer}.{theirs}"
            for layer in range(config.layers)
            for ours, theirs in inner.items()
        }
        return [Piece(theirs, (ours,)) for ours, theirs in {**outer, **layers}.items()]

    def settings(self, config: DecoderConfig) -> dict[str, Any]:
        """The shape as config.json spells it."""
        return {
            "hidden_size": config.width,
            "intermediate_size": config.feed_forward_width,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.key_value_heads,
            "head_dim": config.head_dim,
            "hidden_act": STOCK_ACTIVATIONS[config.activation],
            "max_position_embeddings": config.context_length,
            "initializer_range": 0.02,
            self.norm_key: config.norm_epsilon,
            **rope_settings(config),
            **{key: getattr(config, names[0]) for key, names in self.bias_keys.items()},
            **self.window_settings(config),
            "attention_dropout": 0.0,
            "use_cache": True,
        }

    def window_settings(self, config: DecoderConfig) -> dict[str, Any]:
        """Which layers have a window, as config.json spells it."""
        return {}

    def shape_of(self, stock: StockConfig) -> DecoderConfig:
        """Our shape."""
        default = self.defaults
        width, heads = stock.size("hidden_size"), stock.size("num_attention_heads")
        layers = stock.size("num_hidden_layers", largest=MOST_LAYERS)
        key_value_heads = stock.size("num_key_value_heads", heads)
        if heads % key_value_heads:
            stock.wrong(f"num_attention_heads ({heads}) must be a multiple of num_key_value_heads ({key_value_heads})")
        if stock.given("head_dim") is None and width % heads:
            stock.wrong(f"hidden_size ({width}) must be a multiple of num_attention_heads ({heads}), or head_dim be told")
        head_dim = stock.size("head_dim", max(1, width // heads))
        if head_dim % 2:
            stock.wrong(f"head_dim must be even, since rotary positions turn pairs; found {head_dim}")
        context = stock.size("max_position_embeddings", largest=LONGEST_CONTEXT)
        theta, scaling = read_rope(stock, context)
        biases = {name: stock.flag(key, default["flags"]) for key, names in self.bias_keys.items() for name in names}
        values = {
            "vocabulary_size": stock.size("vocab_size"),
            "context_length": context,
            "layers": layers,
            "width": width,
            "heads": heads,
            "key_value_heads": key_value_heads,
            "head_dim": head_dim,
            "feed_forward_width": stock.size("intermediate_size"),
            "tied_embeddings": stock.flag("tie_word_embeddings", default["flags"]),
            "rope_theta": theta,
            "rope_scaling": scaling,
            "norm_epsilon": stock.number(self.norm_key, default["epsilon"]),
            "activation": stock.one_of("hidden_act", ACTIVATIONS, default["hidden_act"]),
            "windows": self.read_windows(stock, layers),
        }
        stock.check()
        return DecoderConfig(**{**self.fixed(), **values, **biases})

    def read_windows(self, stock: StockConfig, layers: int) -> tuple[int, ...]:
        """The window of each layer."""
        return ()


class LlamaLayout(LlamaLikeLayout):
    """Llama (Touvron et al. 2023)."""

    model_type = "llama"
    architectures = ("LlamaForCausalLM",)
    heads = task_heads("Llama")
    holds: ClassVar = {
        "rope_scaling": (),
        "query_key_value_bias": (False, True),
        "attention_output_bias": (False, True),
        "feed_forward_bias": (False, True),
    }
    bias_keys: ClassVar = {
        "attention_bias": ("query_key_value_bias", "attention_output_bias"),
        "mlp_bias": ("feed_forward_bias",),
    }

    def further_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        yield from super().further_reasons(config)
        if config.width % config.heads:
            yield f"the width ({config.width}) is no multiple of the heads ({config.heads}), which llama's class insists on"


class MistralLayout(LlamaLikeLayout):
    """Mistral (Jiang et al. 2023): no biases, and one window for all layers, or none."""

    model_type = "mistral"
    architectures = ("MistralForCausalLM",)
    heads = task_heads("Mistral")
    usual_window: ClassVar[int | None] = 4096

    def window_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """Why the class can't hold this shape's windows."""
        if len(set(config.windows)) > 1:
            yield f"the layers have different windows, and {self.model_type} has one for all"

    def window_settings(self, config: DecoderConfig) -> dict[str, Any]:
        """One for all layers."""
        return {"sliding_window": config.window(0) or None}

    def read_windows(self, stock: StockConfig, layers: int) -> tuple[int, ...]:
        """One for all layers."""
        stock.must_be("layer_types")
        window = stock.values.get("sliding_window", self.usual_window)
        return () if window is None else (stock.size("sliding_window", self.usual_window),) * layers


class Qwen2Layout(LlamaLikeLayout):
    """Qwen2 (Yang et al. 2024): queries, keys and values with a bias, the output without; a window for some layers."""

    model_type = "qwen2"
    architectures = ("Qwen2ForCausalLM",)
    heads = task_heads("Qwen2")
    holds: ClassVar = {"rope_scaling": (), "query_key_value_bias": (True,)}

    def window_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """Why the class can't hold this shape's windows."""
        if len(sizes := {window for window in config.windows if window}) > 1:
            yield f"the layers have windows of {len(sizes)} sizes, and {self.model_type} has one"

    def window_settings(self, config: DecoderConfig) -> dict[str, Any]:
        """One size, for the layers that `layer_types` says; older readers know only from which layer on."""
        limited = [layer for layer in range(config.layers) if config.window(layer)]
        first = limited[0] if limited and limited == list(range(limited[0], config.layers)) else config.layers
        return {
            "use_sliding_window": bool(limited),
            "sliding_window": config.window(limited[0]) if limited else None,
            "max_window_layers": first,
            "layer_types": ["sliding_attention" if config.window(n) else "full_attention" for n in range(config.layers)],
        }

    def read_windows(self, stock: StockConfig, layers: int) -> tuple[int, ...]:
        """The window of each layer."""
        used = stock.flag("use_sliding_window", False)
        window = stock.size("sliding_window", 4096) if used else 0
        kinds = stock.words("layer_types", ("full_attention", "sliding_attention"), layers)
        if kinds is None:
            first = stock.size("max_window_layers", 28, least=0)
            kinds = ["sliding_attention" if used and layer >= first else "full_attention" for layer in range(layers)]
        if "sliding_attention" not in kinds:
            return ()
        if not used:
            stock.wrong("layer_types has 'sliding_attention', and use_sliding_window is false")
        return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)


class Qwen3Layout(Qwen2Layout):
    """Qwen3 (Yang et al. 2025): normalised queries and keys; biases for all of attention's matrices, or for none."""

    model_type = "qwen3"
    architectures = ("Qwen3ForCausalLM",)
    heads = task_heads("Qwen3")
    holds: ClassVar = {
        "rope_scaling": (),
        "query_key_norm": (True,),
        "query_key_value_bias": (False, True),
        "attention_output_bias": (False, True),
    }
    bias_keys: ClassVar = {"attention_bias": ("query_key_value_bias", "attention_output_bias")}


class Starcoder2Layout(MistralLayout):
    """Starcoder2 (Lozhkov et al. 2024): rotary positions with what else is GPT-2's: LayerNorm, no gate, biases or none."""

    model_type = "starcoder2"
    architectures = ("Starcoder2ForCausalLM",)
    heads = task_heads("Starcoder2")
    usual_window = None
    holds: ClassVar = {
        "rope_scaling": (),
        "norm": ("layer",),
        "norm_bias": (True,),
        "gated": (False,),
        "query_key_value_bias": (False, True),
        "attention_output_bias": (False, True),
        "feed_forward_bias": (False, True),
    }
    bias_keys: ClassVar = {"use_bias": ("query_key_value_bias", "attention_output_bias", "feed_forward_bias")}
    feed_forward: ClassVar = {"feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj"}
    norm_key = "norm_epsilon"
    defaults: ClassVar = {"flags": True, "hidden_act": "gelu_pytorch_tanh", "epsilon": 1e-5}
