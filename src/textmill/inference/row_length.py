"""How many tokens a row of an engine may have: what its share of the memory holds, and no more than the model's context."""

from ..errors import GenerationError
from ..models.count import state_bytes
from ..models.language_model import LanguageModel

LEAST = 16  # tokens; with fewer no question is asked and answered


def row_length(model: LanguageModel, rows: int, memory: int) -> int | None:
    """The tokens that each of `rows` states in so many bytes holds; None where there is no limit. Raises GenerationError where
    they are too few."""
    a_value = model.dtype.itemsize
    one, two = (state_bytes(model.config, length, a_value) for length in (1, 2))
    if model.context_limit is None:
        fits = 1 if rows * one <= memory else 0
    else:
        fits = min(model.context_limit, memory // (rows * (two - one)))
    if fits < min(LEAST, model.context_limit or 1):
        raise GenerationError(
            f"{rows} rows of {one:,} bytes a token and more don't fit into {memory:,} bytes of memory; take fewer rows"
        )
    return fits if model.context_limit is not None else None
