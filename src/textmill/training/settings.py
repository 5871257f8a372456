"""The `[train]` section of a recipe: how long, how, and with which numbers."""

import re
from typing import Annotated, Any, Literal

import pydantic

from ..settings import Settings

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _check_time(text: Any) -> Any:
    if not isinstance(text, str) or not _TIME.fullmatch(text) or float(_TIME.fullmatch(text)[1]) == 0:  # type: ignore[index]
        raise ValueError("write a number above 0 and a unit: 90s, 5m, 2h or 1d")
    return text


def seconds_of(text: str) -> float:
    """`90s`, `5m`, `1.5h`, `1d` as seconds."""
    match = _TIME.fullmatch(text)
    assert match, text
    return float(match[1]) * _SECONDS[match[2]]


class TrainSettings(Settings):
    """How the model learns. Of time, steps and tokens at least one is given; the first to be reached ends it."""

    time: Annotated[str, pydantic.BeforeValidator(_check_time)] | None = None
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
    """Peak learning rate of the layers' matrices; default: 0.03 with muon, 0.003 with adamw."""

    embedding_learning_rate: Annotated[float, pydantic.Field(gt=0)] = 0.03
    """Peak learning rate of embedding, head and norms, always by AdamW. A token is seen rarely, so it learns in leaps."""

    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.1
    """Decoupled weight decay of the layers' matrices, per step and unit of learning rate. Worth raising where the same text
    is read many times."""

    embedding_weight_decay: Annotated[float, pydantic.Field(ge=0)] | None = None
    """The same for embedding and head; default: weight_decay."""

    norm_weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.0
    """The same for the norms' gains, whose neutral value is 1 and not 0: best left at 0."""

    l1: Annotated[float, pydantic.Field(ge=0)] = 0.0
    """L1 regularisation, decoupled: how far the weights of matrices, embedding and head are drawn to exactly 0, per step and
    unit of learning rate (soft threshold). 0.01 is noticeable; it makes small weights vanish, for pruning."""

    label_smoothing: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Share of each target that is spread evenly over the vocabulary. What is shown and validated is never smoothed, and
    bits per byte usually suffer: for models that are too sure of themselves."""

    z_loss: Annotated[float, pydantic.Field(ge=0)] = 0.0
    """Weight of the squared log-sum-exp of the logits, which keeps them from drifting; 1e-4 is usual (PaLM). Helps long
    trainings in bfloat16."""

    clip_norm: Annotated[float, pydantic.Field(gt=0)] | None = None
    """Scale the gradient down to this global norm where it is longer; default: never. Muon's update doesn't depend on the
    gradient's length, so this matters little with it; with adamw 1.0 is usual. How often it was active is reported."""

    averaging: Annotated[float, pydantic.Field(gt=0, le=0.5)] | None = None
    """Keep an average of the weights whose mean age is this share of the steps so far, such as 0.05; the model folder then
    holds whichever validates better, the average or the last weights. Default: none, since a learning rate that falls to 0
    averages by itself; worth its memory (one more copy of the weights) where the rate stays high."""

    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Share of embeddings and of the layers' contributions that is zeroed at random in training. Helps where the same text
    is read many times; slows each step a little."""

    masking: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.15
    """Encoders: share of the tokens that are masked, whole words at a time, and to be guessed. Encoder–decoders: share that is
    cut out, in spans of three on average. More teaches more by each step, and leaves less to guess by; 0.3 is usual where
    training is long."""

    weight_dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Share of a recurrent model's hidden-to-hidden weights that is zeroed at random, anew each step of the training (Merity et
    al. 2018). Beside it `dropout` zeroes the same features at every token of a row."""

    schedule: Literal["warmup-stable-decay", "cosine"] = "warmup-stable-decay"
    """Course of the learning rate. With warmup-stable-decay a finished run can be prolonged: it goes on from where the
    decay began."""

    warmup_steps: Annotated[int, pydantic.Field(ge=0)] = 10
    """Steps over which the learning rate rises linearly from 0 to its peak."""

    decay_fraction: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.6
    """Share of the steps, at the end, over which the learning rate of warmup-stable-decay falls linearly to 0."""

    batch_schedule: tuple[tuple[float, int], ...] = ()
    """Smaller batches first: pairs [share, rows], such as [[0.3, 8]]: 8 rows up to 30 % of the steps, then batch_size. The
    learning rates stay as they are."""

    context_schedule: tuple[tuple[float, int], ...] = ()
    """Shorter rows first: pairs [share, tokens], such as [[0.5, 128]]: rows of 128 tokens up to half of the steps, then of
    model.context_length, which must be a multiple. A step has as many tokens: its rows are cut in pieces."""

    plan: Literal["auto", "blocks", "streams"] = "auto"
    """Order in which the text is read. blocks: stretches in shuffled order; streams: each row reads on and on, and a recurrent
    model remembers across batches. auto: streams for recurrent models, blocks for all others."""

    document_attention: bool = False
    """Keep attention inside each document of a packed row. Costs speed; matters where documents are short."""

    validations: Annotated[int, pydantic.Field(ge=0)] = 8
    """How often, evenly over the run, bits per byte are measured on a part of the validation documents; less often where
    that would take more than a twentieth of the time."""

    patience: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Stop after this many validations in a row that were no better than the best before; default: never. The model folder
    holds the best. A learning rate that still has to fall improves late, so give several."""

    checkpoint_steps: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = "auto"
    """Steps between two checkpoints; auto: as many as take half a minute, so that this much is lost at most."""

    keep_checkpoints: Annotated[int, pydantic.Field(ge=1)] = 2
    """How many of the newest checkpoints are kept. Beside them, always: the one that validated best, and the one from
    which the run can be prolonged. Where the newest turns out to be damaged, the one before it is taken."""

    sample_prompt: str = ""
    """What the samples shown during training go on from; empty: the start of a document."""

    embeddings: str | None = None
    """Word vectors that the embedding table begins with: a file of word2vec's or GloVe's text format, also compressed, as
    `textmill vectors` writes it. Its vectors are as long as model.width. Tokens that are whole words of the file take theirs,
    scaled to the usual spread; all others begin at random. Default: all do."""

    seed: Annotated[int, pydantic.Field(ge=0, lt=2**63)] = 0
    """Seed of the initial weights and of the order of the text."""

    threads: Annotated[int, pydantic.Field(ge=1)] | Literal["auto", "adapt"] = "auto"
    """CPU threads; auto: the fastest count, measured before the first step and kept; adapt: chosen again whenever steps take
    much longer than they did, as beside a busy neighbour. The last digits may differ from each change on, which is told and
    recorded, so that a resumed run makes it too."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the matrix products; weights stay float32. auto: the faster one, measured."""

    attention: Literal["auto", "fused", "eager", "flash", "cudnn", "efficient", "flexible"] = "auto"
    """Attention kernel. fused: one kernel, ours on a CPU, else the one that torch picks; flash, cudnn, efficient, flexible:
    that one of torch's, of which a GPU has all; document_attention and windows are for the last two; eager: plain products.
    auto: the fastest that works here, measured."""

    micro_batch: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = "auto"
    """Rows that pass through the model at once, a divisor of batch_size; fewer need less memory and give the same
    gradient but for rounding. auto: the fastest, measured."""

    activation_checkpointing: Literal["auto", "on", "off"] = "auto"
    """Keep only each layer's input for the backward pass and compute the rest again: the same bits, much less memory, a
    third more work. auto: only where a single row wouldn't fit into memory otherwise."""

    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto: on where what it was measured to save over the run is more than what compiling takes."""

    tensorboard: bool = False
    """Also write the metrics for TensorBoard, into the run folder's tensorboard/; needs the package tensorboard."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "TrainSettings":
        if self.time is None and self.steps is None and self.tokens is None:
            raise ValueError('give at least one of time (such as "5m"), steps and tokens')
        if isinstance(self.micro_batch, int) and self.batch_size % self.micro_batch:
            raise ValueError(f"micro_batch ({self.micro_batch}) must divide batch_size ({self.batch_size})")
        if self.threads == "adapt" and self.compile == "on":
            raise ValueError('a compiled step is made for one number of threads: with threads = "adapt" leave compile out')
        if self.patience is not None and self.validations == 0:
            raise ValueError("patience counts validations, and validations is 0; write validations = 8, or no patience")
        for name in ("batch_schedule", "context_schedule"):
            shares = [share for share, _ in getattr(self, name)]
            if sorted({*shares, 0.0, 1.0}) != [0.0, *shares, 1.0]:
                raise ValueError(f"{name}: the shares must rise, above 0 and below 1; found {shares}")
            if wrong := [value for _, value in getattr(self, name) if value < 1]:
                raise ValueError(f"{name}: {wrong[0]} is no size; write [[0.5, 8]] for 8 up to half of the steps")
        return self


def unfit_contexts(settings: TrainSettings, context: int) -> list[str]:
    """What is wrong with the schedule of contexts beside the model's: rows are pieces of the model's, all of one length."""
    return [
        f"train.context_schedule: {length} does not divide model.context_length ({context}); "
        f"write {_nearest_divisor(context, length)}"
        for _, length in settings.context_schedule
        if context % length
    ]


def unfit_attention(settings: TrainSettings, windows: tuple[int, ...]) -> list[str]:
    """What is wrong with the attention kernel beside the layers' `windows`."""
    if settings.attention != "flexible" or settings.document_attention or any(windows):
        return []
    return ["train.attention: flexible is for document_attention and for windows, and this recipe has neither; write auto"]


def unfit_family(settings: TrainSettings, family: str) -> list[str]:
    """What of these settings says something that models of this family don't have."""
    if family in ("bidirectional", "convolutional"):
        return ["model.architecture: what reads whole texts is for tasks alone (textmill tune); write lstm or gru"]
    problems = []
    hides_words = family in ("encoder", "encoder-decoder")
    if not hides_words and settings.masking != TrainSettings.model_fields["masking"].default:
        problems.append("train.masking: only encoders and encoder–decoders learn from hidden words; leave it out")
    if family != "recurrent":
        lacking = {
            "weight_dropout: only lstm, gru and rnn have hidden-to-hidden weights; leave it out": settings.weight_dropout > 0,
            "plan: only lstm, gru and rnn remember across batches; leave it out, or write blocks": settings.plan == "streams",
        }
        return problems + [f"train.{problem}" for problem, found in lacking.items() if found]
    schedules = ("batch_schedule", "context_schedule") if settings.plan != "blocks" else ()
    why = "each row reads its own stream on and on, so all steps have the same rows; leave it out, or set train.plan to blocks"
    problems += [f"train.{name}: {why}" for name in schedules if getattr(settings, name)]
    if settings.compile == "on":
        problems.append("train.compile: each recurrent layer is one kernel already, nothing to be compiled; leave it out")
    attention = ["document_attention"] if settings.document_attention else []
    attention += ["attention"] if settings.attention != "auto" else []
    return problems + [f"train.{name}: a recurrent model has no attention; leave it out" for name in attention]


def _nearest_divisor(number: int, wanted: int) -> int:
    return min((part for part in range(1, number + 1) if number % part == 0), key=lambda part: abs(part - wanted))
