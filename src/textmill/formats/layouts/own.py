"""textmill's own layout, for shapes that no stock class holds: our tensors and settings under our own names."""

import dataclasses
import json
import math
from typing import Any, ClassVar

from ...models.architectures import FAMILIES, build_empty
from ...models.config import ModelConfig
from .layout import Layout, Piece
from .stock_config import LARGEST_SIZE, LONGEST_CONTEXT, MOST_LAYERS, StockConfig


class OwnLayout(Layout):
    """Every shape of every family here. transformers doesn't load it."""

    model_type = "textmill"
    architectures = ("TextmillModel",)
    config_class = ModelConfig
    heads: ClassVar = {
        **dict.fromkeys(("sequence", "multi_label", "regression"), ("TextmillForSequenceClassification", "task.output")),
        "token": ("TextmillForTokenClassification", "task.output"),
        "chain": ("TextmillForChainOfLabels", "task.output"),
        "span": ("TextmillForQuestionAnswering", "task.output"),
    }

    def pieces(self, config: ModelConfig) -> list[Piece]:
        """Every tensor, but for a tied head."""
        return [Piece(name, (name,)) for name, _ in build_empty(config).named_parameters()]  # one that is shared comes once

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        """The shape, whole."""
        return {"family": FAMILIES[type(config)].family, "shape": dataclasses.asdict(config)}

    def shape_of(self, stock: StockConfig) -> ModelConfig:
        """Our shape."""
        classes = {model.family: config for config, model in FAMILIES.items()}
        config_class = stock.one_of("family", classes, next(iter(classes)))
        shape = stock.section("shape")
        known = {field.name for field in dataclasses.fields(config_class)}
        for name in shape.values.keys() - known:
            shape.wrong(f"{name[:80]} is not a setting of this family")
        for name, value in shape.values.items():
            largest = MOST_LAYERS if "layers" in name else LONGEST_CONTEXT if "context" in name else LARGEST_SIZE
            if type(value) in (int, float) and (not math.isfinite(value) or abs(value) > largest):
                shape.wrong(f"{name} must be at most {largest:,}")
        stock.check()
        import pydantic  # which a model in another layout is read without

        try:
            return pydantic.TypeAdapter(config_class).validate_json(json.dumps(shape.values), strict=True)
        except pydantic.ValidationError as error:
            for mistake in error.errors():
                shape.wrong(f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg'][0].lower()}{mistake['msg'][1:]}")
            stock.check()
            raise
