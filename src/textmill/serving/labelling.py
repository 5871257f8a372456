"""From a request for labels of texts to its answer, whoever brought it: /v1/classify and /v1/moderations."""

from collections.abc import Mapping
from typing import Any

from ..inference.classify import Scores
from . import labels
from .errors import ApiError
from .reading_schema import ClassifyBody, ModerationBody
from .readings import inputs_of, read
from .served import Served

MOST_SCORES = 1_000_000  # of one request


async def classified(served: Served, body: ClassifyBody) -> tuple[dict[str, Any], int]:
    """The answer with the labels of texts, and the tokens that were read. Raises ApiError, EngineFull."""
    scores, tokens = await _scores(served, "/v1/classify", body.inputs())
    assert served.task is not None
    return labels.classification(served.name, served.task.config, scores, tokens), tokens


async def moderated(served: Served, body: ModerationBody) -> tuple[dict[str, Any], int]:
    """The answer with what flags texts, and the tokens that were read. Raises ApiError, EngineFull."""
    if served.task is not None and "/v1/classify" in served.serves:
        labels.refuse_moderation(served.name, served.task.config)
    scores, tokens = await _scores(served, "/v1/moderations", body.inputs())
    assert served.task is not None
    return labels.moderation(served.name, served.task.config, scores), tokens


def only_moderator(models: Mapping[str, Served]) -> str:
    """The name of the only model that moderates. Raises ApiError where none does, or several do."""
    names = sorted(name for name, served in models.items() if "/v1/moderations" in served.serves)
    if len(names) == 1:
        return names[0]
    found = f"name one of {', '.join(names)}" if names else "no model is served here whose labels can flag a text"
    raise ApiError(400, f"model: {found}", "model", "model_not_supported")


async def _scores(served: Served, path: str, texts: Mapping[str, Any]) -> tuple[list[list[float]], int]:
    """A number for each label of each text, and the tokens that were read."""
    served.reader(path)  # raises where it has none
    assert served.task is not None
    if (wanted := len(texts) * len(served.task.config.labels)) > MOST_SCORES:
        message = f"texts times labels are at most {MOST_SCORES:,}, found {wanted:,}; ask for some of them"
        raise ApiError(400, message, "input", "invalid_value")
    inputs = await inputs_of(served, texts, served.tokenizer.encode_whole)
    return await read(served, path, inputs, Scores(served.task)), sum(map(len, inputs))
