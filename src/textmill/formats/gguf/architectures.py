"""The architectures that both llama.cpp and textmill hold, by the name that a GGUF file gives them and by transformers'."""

from types import ModuleType

from ...errors import ModelError
from . import bert, gpt2, llama

# Each module has `config_from`, `metadata_from`, `counterparts` and REQUIRED.
BY_GGUF_NAME: dict[str, ModuleType] = {"gpt2": gpt2, "llama": llama, "qwen2": llama, "qwen3": llama, "bert": bert}
BY_MODEL_TYPE: dict[str, ModuleType] = {**BY_GGUF_NAME, "mistral": llama}


def gguf_name(model_type: str) -> str:
    """What llama.cpp calls the stock class's `model_type`. Raises ModelError where it has no such architecture."""
    if model_type not in BY_MODEL_TYPE:
        raise ModelError(
            f"model_type is {model_type!r}, of which llama.cpp has no architecture that computes the same; "
            f"{', '.join(BY_MODEL_TYPE)} can be exported as GGUF"
        )
    return "llama" if model_type == "mistral" else model_type
