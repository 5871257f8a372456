"""The `[evaluate]` section of a recipe: how much text is judged, and how strong the baselines are."""

import pydantic

from ..models.ngram import MAXIMUM_ORDER
from ..settings import Settings

LEAST_BYTES, BYTES_PER_SECOND = 64_000, 4_000  # scored by default, the latter for each second of training


class EvaluationSettings(Settings):
    """How a model is compared with its baselines."""

    maximum_bytes: int = pydantic.Field(2_000_000, ge=1)
    """Validation text that is scored, in bytes. Which documents these are is decided by the hash of their ids. Left out: 4,000
    for each second of train.time, but 64,000 at least and 2,000,000 at most."""

    ngram_order: int = pydantic.Field(7, ge=1, le=MAXIMUM_ORDER)
    """Order of the baseline n-gram, the predicted symbol included. Its symbols are the text's common characters, and
    bytes for all else; seven of them fit its 64-bit keys, or five where the text has thousands of characters, as Chinese
    has. On 3 MB of English encyclopedia, order 7 is the best; lower orders are weaker, and cost hardly less."""

    baseline_bytes: int = pydantic.Field(20_000_000, ge=1)
    """Training text that a baseline reads at most, in bytes. `xz` reads no more than 8 MB of it."""

    bootstrap_samples: int = pydantic.Field(10_000, ge=100)
    """Resamples behind each 95 % interval."""

    prompts: tuple[str, ...] = ("",)
    """What the finished model goes on from, to show how it writes; an empty one is the start of a document."""

    def for_time(self, seconds: float) -> "EvaluationSettings":
        """The same with as much to score as is in proportion to so long a training, where the recipe doesn't say it."""
        if "maximum_bytes" in self.model_fields_set:
            return self
        fitting = max(LEAST_BYTES, int(BYTES_PER_SECOND * seconds))
        return self.model_copy(update={"maximum_bytes": min(fitting, self.maximum_bytes)})
