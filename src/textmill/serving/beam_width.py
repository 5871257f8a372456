"""`beam_width`: a request asks for the likeliest whole answers; what has no meaning beside that is refused by its name."""

from collections.abc import Mapping
from typing import Any

from ..inference.beam import BeamSearch
from .errors import ApiError
from .schema import WritingBody

# Fields that have none, each with the values that ask for nothing.
MEANINGLESS: Mapping[str, tuple[Any, ...]] = {
    "temperature": (None, 0),
    "top_p": (None, 1),
    "top_k": (None,),
    "min_p": (None, 0),
    "typical_p": (None, 1),
    "repetition_penalty": (None, 1),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "seed": (None,),
    "stop": (None, []),
}


def search_of(body: WritingBody, logprobs: int | None) -> BeamSearch | None:
    """The search that a request asks for, which tells `logprobs` too (None: it doesn't). Raises ApiError."""
    if body.beam_width is None:
        if body.length_penalty is not None:
            raise _refused("length_penalty", "length_penalty is for a beam search; set beam_width too")
        return None
    if body.stream:
        raise _refused("beam_width", "beam_width finds answers that are known at their end alone; leave out stream")
    if (body.n or 1) > body.beam_width:
        raise _refused("n", f"of beam_width {body.beam_width} answers are found, and n is {body.n}; ask for no more than those")
    meaningless = [name for name, neutral in MEANINGLESS.items() if getattr(body, name) not in neutral]
    if logprobs is not None:
        meaningless.append("logprobs")
    meaningless += body.rules()
    if meaningless:
        message = f"beam_width finds the likeliest answers, beside which {', '.join(meaningless)} can't be; leave that out"
        raise _refused(meaningless[0], message)
    return BeamSearch(body.beam_width, 1.0 if body.length_penalty is None else body.length_penalty)


def _refused(field: str, message: str) -> ApiError:
    return ApiError(400, message, field, "invalid_value")
