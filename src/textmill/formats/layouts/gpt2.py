"""`GPT2LMHeadModel` (Radford et al. 2019), whose matrices are (in, out), those of queries, keys and values in one."""

from typing import Any, ClassVar

from ...models.decoder import DecoderConfig
from .decoders import DecoderLayout, task_heads
from .layout import PARTS, Piece, both
from .stock_config import ACTIVATIONS, LONGEST_CONTEXT, MOST_LAYERS, STOCK_ACTIVATIONS, StockConfig

# theirs -> ours, within one layer
NORMS = {"ln_1": "attention_norm", "ln_2": "feed_forward_norm"}
MATRICES = {
    "attn.c_attn": ("attention.query", "attention.key", "attention.value"),
    "attn.c_proj": ("attention.output",),
    "mlp.c_fc": ("feed_forward.up",),
    "mlp.c_proj": ("feed_forward.down",),
}


class GPT2Layout(DecoderLayout):
    """GPT-2."""

    model_type = "gpt2"
    architectures = ("GPT2LMHeadModel",)
    heads = task_heads("GPT2", "classifier")
    prefix = "transformer."
    embedding = "transformer.wte.weight"
    passed_over = (r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias",)
    holds: ClassVar = {
        "positions": ("learned",),
        "norm": ("layer",),
        "norm_bias": (True,),
        "query_key_value_bias": (True,),
        "attention_output_bias": (True,),
        "gated": (False,),
        "feed_forward_bias": (True,),
    }
    plain_heads = True

    def pieces(self, config: DecoderConfig) -> list[Piece]:
        """Every tensor of the class."""
        pieces = [
            Piece(self.embedding, ("embedding.weight",)),
            Piece("transformer.wpe.weight", ("position_embedding.weight",)),
        ]
        for layer in range(config.layers):
            theirs, ours = f"transformer.h.{layer}", f"blocks.{layer}"
            for name, norm in NORMS.items():
                pieces += both(f"{ours}.{norm}", f"{theirs}.{name}")
            for name, matrices in MATRICES.items():
                weights, biases = ([f"{ours}.{matrix}.{part}" for matrix in matrices] for part in PARTS)
                pieces.append(Piece(f"{theirs}.{name}.weight", tuple(weights), transposed=True))
                pieces.append(Piece(f"{theirs}.{name}.bias", tuple(biases)))
        pieces += both("norm", "transformer.ln_f")
        return pieces if config.tied_embeddings else [*pieces, Piece(self.head, ("head.weight",))]

    def settings(self, config: DecoderConfig) -> dict[str, Any]:
        """The shape as config.json spells it."""
        # Among the names of GELU by tanh, GPT-2's own is the one that every reader knows.
        activation = "gelu_new" if config.activation == "gelu_tanh" else STOCK_ACTIVATIONS[config.activation]
        return {
            "n_positions": config.context_length,
            "n_embd": config.width,
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_inner": config.feed_forward_width,
            "activation_function": activation,
            "layer_norm_epsilon": config.norm_epsilon,
            "initializer_range": 0.02,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "use_cache": True,
        }

    def shape_of(self, stock: StockConfig) -> DecoderConfig:
        """Our shape."""
        stock.must_be("scale_attn_weights", True)
        stock.must_be("scale_attn_by_inverse_layer_idx", False)
        stock.must_be("add_cross_attention", False)
        sizes = stock.plain_heads("n_embd", "n_head")
        values = {
            "vocabulary_size": stock.size("vocab_size"),
            "context_length": stock.size("n_positions", largest=LONGEST_CONTEXT),
            "layers": stock.size("n_layer", largest=MOST_LAYERS),
            **sizes,
            "feed_forward_width": stock.size("n_inner", 4 * sizes["width"]),
            "tied_embeddings": stock.flag("tie_word_embeddings", True),
            "norm_epsilon": stock.number("layer_norm_epsilon", 1e-5),
            "activation": stock.one_of("activation_function", ACTIVATIONS, "gelu_new"),
        }
        stock.check()
        return DecoderConfig(**{**self.fixed(), **values})
