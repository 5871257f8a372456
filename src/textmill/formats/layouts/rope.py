"""Rotary positions in a config.json: `rope_theta` and `rope_scaling` as transformers 4 has them, `rope_parameters` as 5."""

import math
from typing import Any

from ...models.config import RopeScaling, TransformerConfig
from .stock_config import LONGEST_CONTEXT, StockConfig

DEFAULT_THETA = 10_000.0
KINDS = {"default": None, "linear": "linear", "llama3": "llama3", "yarn": "yarn"}


def rope_settings(config: TransformerConfig) -> dict[str, Any]:
    """The keys of a config.json. Both spellings are written: readers differ."""
    parameters: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_theta}
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_theta": config.rope_theta, "rope_scaling": None, "rope_parameters": parameters}
    parameters |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind != "linear":
        parameters["original_max_position_embeddings"] = scaling.original_context
    if scaling.kind == "llama3":
        parameters |= {"low_freq_factor": scaling.low_frequency_factor, "high_freq_factor": scaling.high_frequency_factor}
    if scaling.kind == "yarn":
        parameters |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
        if scaling.attention_factor is not None:
            parameters["attention_factor"] = scaling.attention_factor
    older = {key: value for key, value in parameters.items() if key != "rope_theta"}
    return {"rope_theta": config.rope_theta, "rope_scaling": older, "rope_parameters": parameters}


def read_rope(stock: StockConfig, context: int) -> tuple[float, RopeScaling | None]:
    """The base and the scaling. `context` is the model's own, which is also the original one where none is told."""
    stock.must_be("partial_rotary_factor", 1.0, 1)
    section = stock.section("rope_parameters" if stock.given("rope_parameters") else "rope_scaling")
    section.must_be("partial_rotary_factor", 1.0, 1)
    theta = section.number("rope_theta", stock.number("rope_theta", DEFAULT_THETA))
    if theta <= 1:
        section.wrong(f"rope_theta must be above 1, found {theta:g}")
        theta = DEFAULT_THETA
    kind = section.one_of("rope_type" if section.given("rope_type") is not None else "type", KINDS, "default")
    if section.given("full_attention") is not None:
        section.wrong("has other rotary positions for each kind of layer, which isn't held")
    if kind is None:
        return theta, None
    factor = section.number("factor")
    if factor < 1:
        section.wrong(f"factor must be at least 1, found {factor:g}")
        factor = 1.0
    if kind == "linear":
        return theta, RopeScaling("linear", factor)
    told = stock if stock.given("original_max_position_embeddings") is not None else section
    original = told.size("original_max_position_embeddings", context, LONGEST_CONTEXT)
    if kind == "llama3":
        low, high = section.number("low_freq_factor"), section.number("high_freq_factor")
        if not low < high:
            section.wrong(f"low_freq_factor ({low:g}) must be below high_freq_factor ({high:g})")
            low, high = 1.0, 4.0
        return theta, RopeScaling("llama3", factor, original, low, high)
    section.must_be("truncate", True)
    fast, slow = section.number("beta_fast", 32.0), section.number("beta_slow", 1.0)
    return theta, RopeScaling(
        "yarn", factor, original, beta_fast=fast, beta_slow=slow, attention_factor=_sharper(section, factor)
    )


def _sharper(section: StockConfig, factor: float) -> float | None:
    """YaRN's factor of attention, where it isn't the usual one: told, or (DeepSeek's way) as the quotient of two."""
    if section.given("attention_factor") is not None:
        return section.number("attention_factor")
    scale, all_scale = section.given("mscale"), section.given("mscale_all_dim")
    if not (scale and all_scale):
        return None
    scale, all_scale = section.number("mscale"), section.number("mscale_all_dim")
    return (0.1 * scale * math.log(factor) + 1.0) / (0.1 * all_scale * math.log(factor) + 1.0)
