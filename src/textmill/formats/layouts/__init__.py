"""The stock classes of transformers that hold our models, each in one file beside this one, and how one is found.

A shape goes to the first layout that holds it; a `config.json` to the one that its `model_type` names.
"""

from collections.abc import Mapping
from typing import Any

from ...errors import ModelError, nearest
from ...models.config import ModelConfig
from ...models.task import TaskConfig
from .bert import BertLayout
from .encoder_decoders import MarianLayout, MBartLayout
from .gpt2 import GPT2Layout
from .layout import Layout, choose
from .llama import LlamaLayout, MistralLayout, Qwen2Layout, Qwen3Layout, Starcoder2Layout
from .modernbert import ModernBertLayout
from .mpt import MptLayout
from .own import OwnLayout
from .stock_config import StockConfig
from .tasks import TaskLayout, read_task

STOCK: tuple[Layout, ...] = (
    GPT2Layout(),
    LlamaLayout(),
    MistralLayout(),
    Qwen2Layout(),
    Qwen3Layout(),
    Starcoder2Layout(),
    MptLayout(),
    MarianLayout(),
    MBartLayout(),
    BertLayout(),
    ModernBertLayout(),
)
OWN = OwnLayout()
LAYOUTS: Mapping[str, Layout] = {layout.model_type: layout for layout in (*STOCK, OWN)}


def layout_for(config: ModelConfig, preferred: str | None = None, task: TaskConfig | None = None) -> Layout:
    """The stock class that holds this shape, under the head of a `task`; of several, the one whose model_type is `preferred`,
    such as the recipe's architecture. Raises ModelError, with the reasons of those that come nearest, where none does."""
    strange = "no stock class of transformers holds a model of this family; textmill alone reads its folder"
    layouts = STOCK if task is None else [TaskLayout(layout, task) for layout in STOCK]
    return choose(layouts, config, preferred, strange, "no stock class of transformers holds this shape")


def layout_to_keep(config: ModelConfig, preferred: str | None = None, task: TaskConfig | None = None) -> Layout:
    """The layout of a model folder: that of the stock class which holds the shape, else textmill's own."""
    try:
        return layout_for(config, preferred, task)
    except ModelError:
        return OWN if task is None else TaskLayout(OWN, task)


def is_own(layout: Layout) -> bool:
    """Whether only textmill reads a folder in this layout."""
    return layout.model_type == OWN.model_type


def read_stock_config(values: Any, where: str) -> tuple[Layout, ModelConfig]:
    """The layout that a config.json names, and the shape. Raises ModelError with every setting that isn't held."""
    if not isinstance(values, dict):
        raise ModelError(f"{where} must be a JSON object")
    stock = StockConfig(values, where)
    model_type = stock.given("model_type")
    if not isinstance(model_type, str) or model_type not in LAYOUTS:
        hint = nearest(model_type, LAYOUTS, 0.7) if isinstance(model_type, str) and len(model_type) < 100 else ""
        raise ModelError(f"{where}: model_type is {model_type!r:.80}{hint}; read are {', '.join(LAYOUTS)}")
    layout = LAYOUTS[model_type]
    classes = stock.given("architectures")
    if (task := read_task(stock, layout)) is not None:
        layout = TaskLayout(layout, task)
    elif isinstance(classes, list) and classes and classes[0] not in layout.architectures:
        stock.wrong(f"architectures is {classes!r:.80}; of {model_type}, {' or '.join(layout.architectures)} is read")
    if stock.given("quantization_config") is not None:
        stock.wrong("its weights are quantised (quantization_config); give the folder that they were made from")
    config = layout.shape_of(stock)
    stock.check()
    return layout, config
