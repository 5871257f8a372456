"""Every number that textmill reports about quality is a Score: value, interval, count, and how it was made."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Score:
    """One measured number.

    `low` and `high` bound the 95 % interval, `count` says over how many independent units (documents, say) it was
    taken, and `signature` holds whatever someone needs to make the same number again: data hash, tokenizer, settings,
    version.
    """

    name: str
    value: float
    low: float
    high: float
    count: int
    unit: str = ""
    signature: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]{unit} (n = {self.count})"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Figure:
    """What a model's quality is measured in while it learns; lower is better. `key` is its name in files."""

    key: str
    name: str
    unit: str


BITS_PER_BYTE = Figure("bits_per_byte", "bits per byte", "bits/byte")
BITS_PER_MASKED_TOKEN = Figure("bits_per_masked_token", "bits per masked token", "bits/masked token")
BITS_PER_SPAN_TOKEN = Figure("bits_per_span_token", "bits per span token", "bits/span token")
BITS_PER_MASKED_WORD = Figure("bits_per_masked_word", "bits per masked word", "bits/masked word")
BITS_PER_LABEL = Figure("bits_per_label", "bits per label", "bits/label")
BITS_PER_ANSWER_BYTE = Figure("bits_per_answer_byte", "bits per byte of answers", "bits/byte")
BITS_PER_PAIR = Figure("bits_per_pair", "bits per pair", "bits/pair")
F1_SHORTFALL = Figure("f1_shortfall", "short of an F1 of 1", "short of an F1 of 1")
FIGURES = {
    figure.key: figure
    for figure in (
        BITS_PER_BYTE, BITS_PER_MASKED_TOKEN, BITS_PER_SPAN_TOKEN, BITS_PER_MASKED_WORD, BITS_PER_LABEL, BITS_PER_ANSWER_BYTE,
        BITS_PER_PAIR, F1_SHORTFALL,
    )
}  # fmt: skip
