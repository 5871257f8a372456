"""The `[train]` section of a recipe: how long, how, and with which numbers."""

import re
from typing import Annotated, Literal

import pydantic

from ..settings import Settings

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _check_time(text: str) -> str:
    if not _TIME.fullmatch(text) or float(_TIME.fullmatch(text)[1]) == 0:  # type: ignore[index]
        raise ValueError("write a number above 0 and a unit: 90s, 5m, 2h or 1d")
    return text


def seconds_of(text: str) -> float:
    """`90s`, `5m`, `1.5h`, `1d` as seconds."""
    match = _TIME.fullmatch(text)
    assert match, text
    return float(match[1]) * _SECONDS[match[2]]


class TrainSettings(Settings):
    """How the model learns. Of time, steps and tokens at least one is given; the first to be reached ends it."""

    time: Annotated[str, pydantic.AfterValidator(_check_time)] | None = None
    """Wall time of the training, validation and saving included, such as 90s, 5m or 2h. It is turned into a number of
    steps before the first one, by measuring; from then on a slower machine ends late and says so."""

    steps: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Number of optimizer steps."""

    tokens: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Number of tokens to train on."""

    batch_size: Annotated[int, pydantic.Field(ge=1)] = 16
    """Rows of model.context_length tokens in one optimizer step, over all micro-batches."""

    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: orthogonalised momentum (Jordan et al. 2024) for the layers' matrices and AdamW for the rest; adamw: AdamW
    for all."""

    matrix_learning_rate: Annotated[float, pydantic.Field(gt=0)] | None = None
    """Peak learning rate of the layers' matrices; default: 0.02 with muon, 0.003 with adamw."""

    embedding_learning_rate: Annotated[float, pydantic.Field(gt=0)] = 0.03
    """Peak learning rate of embedding, head and norms, always by AdamW. A token is seen rarely, so it learns in leaps."""

    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.1
    """Decoupled weight decay of matrices, embedding and head, per step and unit of learning rate. Worth raising where
    the same text is read many times."""

    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Share of embeddings and of the layers' contributions that is zeroed at random in training. Helps where the same text
    is read many times; slows each step a little."""

    schedule: Literal["warmup-stable-decay", "cosine"] = "warmup-stable-decay"
    """Course of the learning rate. With warmup-stable-decay a finished run can be prolonged: it goes on from where the
    decay began."""

    warmup_steps: Annotated[int, pydantic.Field(ge=0)] = 20
    """Steps over which the learning rate rises linearly from 0 to its peak."""

    decay_fraction: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.6
    """Share of the steps, at the end, over which the learning rate of warmup-stable-decay falls linearly to 0."""

    document_attention: bool = False
    """Keep attention inside each document of a packed row. Costs speed; matters where documents are short."""

    validations: Annotated[int, pydantic.Field(ge=0)] = 8
    """How often, evenly over the run, bits per byte are measured on a part of the validation documents; less often where
    that would take more than a tenth of the time."""

    checkpoint_steps: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = "auto"
    """Steps between two checkpoints; auto: as many as take half a minute, so that this much is lost at most."""

    keep_checkpoints: Annotated[int, pydantic.Field(ge=1)] = 2
    """How many of the newest checkpoints are kept. Beside them, always: the one that validated best, and the one from
    which the run can be prolonged. Where the newest turns out to be damaged, the one before it is taken."""

    sample_prompt: str = ""
    """What the samples shown during training go on from; empty: the start of a document."""

    seed: Annotated[int, pydantic.Field(ge=0, lt=2**63)] = 0
    """Seed of the initial weights and of the order of the text."""

    threads: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = "auto"
    """CPU threads; auto: the fastest count, measured before the first step."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the matrix products; weights stay float32. auto: the faster one, measured."""

    attention: Literal["auto", "fused", "eager"] = "auto"
    """Attention kernel: torch's fused one or plain products; auto: the faster one, measured."""

    micro_batch: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = "auto"
    """Rows that pass through the model at once, a divisor of batch_size; fewer need less memory and give the same
    gradient but for rounding. auto: the fastest, measured."""

    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto: off where the run is too short to win back the time that compiling takes."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "TrainSettings":
        if self.time is None and self.steps is None and self.tokens is None:
            raise ValueError('give at least one of time (such as "5m"), steps and tokens')
        if isinstance(self.micro_batch, int) and self.batch_size % self.micro_batch:
            raise ValueError(f"micro_batch ({self.micro_batch}) must divide batch_size ({self.batch_size})")
        return self
