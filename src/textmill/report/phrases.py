"""The page's words in every language, side by side: a reader chooses on the page, without network or script.

Words are in `words/LANGUAGE.toml`. Numbers, times and amounts are written as each language writes them.
"""

import functools
import locale
import os
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

from ..progress import format_bytes, format_count, format_seconds

LANGUAGES = {"en": "English", "zh": "中文"}
TAGS = {"en": "en", "zh": "zh-Hans"}


@dataclass(frozen=True)
class Phrase:
    """The same words in each language. As HTML: one span a language, of which the page shows one."""

    texts: Mapping[str, Markup]

    def __html__(self) -> str:
        if len(set(self.texts.values())) == 1:
            return str(next(iter(self.texts.values())))
        return "".join(f'<span lang="{TAGS[name]}" data-l="{name}">{text}</span>' for name, text in self.texts.items())


def shown(text: str) -> str:
    """`text` with nothing in it that could hide or turn round what stands beside it: control characters and marks of
    writing direction become their code points, lone surrogates U+FFFD. Line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(_shown_character(character) for character in text)


def _shown_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    if (category == "Cc" and character not in "\n\t") or character in _DIRECTIONS:
        return f"⟨U+{ord(character):04X}⟩"
    return character


_DIRECTIONS = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


@functools.cache
def words(language: str) -> dict[str, str]:
    """Every phrase of a language, by its key: `cost.title`."""
    tables = tomllib.loads((files(__package__) / "words" / f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{section}.{key}": text.strip() for section, table in tables.items() for key, text in table.items()}


def phrase(key: str, **values: Any) -> Phrase:
    """The phrase of that key, with `values` put where it names them. KeyError where there is none."""
    return Phrase(
        {
            language: Markup(words(language)[key]).format(**{name: _in(language, value) for name, value in values.items()})
            for language in LANGUAGES
        }
    )


def phrase_or(key: str, other: str) -> Phrase:
    """The phrase of that key; the bare word `other` where there is none: a rule that a user's own reader has, say."""
    if key in words("en"):
        return phrase(key)
    return Phrase({language: escape(shown(other)) for language in LANGUAGES})


def _in(language: str, value: Any) -> Any:
    if isinstance(value, Phrase):
        return value.texts[language]
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _both(english: str, chinese: str) -> Phrase:
    return Phrase({"en": escape(english), "zh": escape(chinese)})


def duration(seconds: float) -> Phrase:
    """`3:05 min` and `3 分 05 秒`."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    chinese = f"{minutes} 分 {rest:02d} 秒" if minutes else f"{rest} 秒"
    return _both(format_seconds(seconds), f"{hours} 小时 {minutes:02d} 分" if hours else chinese)


def quantity(count: float) -> Phrase:
    """`7.41 M` and `741 万`."""
    chinese = f"{count:.0f}"
    for limit, unit in ((1e8, "亿"), (1e4, "万")):
        if abs(count) >= limit:
            chinese = f"{_three_digits(count / limit)} {unit}"
            break
    return _both(format_count(count), chinese)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def energy(joules: float) -> str:
    """`0.18 Wh`, `1.2 kWh`."""
    watt_hours = joules / 3600
    return f"{_amount(watt_hours / 1000)} kWh" if watt_hours >= 1000 else f"{_amount(watt_hours)} Wh"


def grams(value: float) -> str:
    """`0.09 g`, `1.2 kg`."""
    return f"{_amount(value / 1000)} kg" if value >= 1000 else f"{_amount(value)} g"


def _amount(value: float) -> str:
    """Two digits that count, never `0` for something."""
    if value == 0:
        return "0"
    return "<0.001" if value < 0.001 else f"{float(f'{value:.2g}'):g}" if value < 100 else f"{value:,.0f}"


def money(amount: float, currency: str) -> Phrase:
    """`0.12 USD`; less than a hundredth is said to be so."""
    if 0 < amount < 0.01:
        return _both(f"under 0.01 {currency}", f"不到 0.01 {currency}")
    return _both(*[f"{amount:,.2f} {currency}"] * 2)


FORMATS: dict[str, Callable[..., Any]] = {
    "duration": duration,
    "quantity": quantity,
    "size": format_bytes,
    "energy": energy,
    "grams": grams,
    "money": money,
    "number": "{:,}".format,
    "decimal": "{:.2f}".format,
    "thousandths": "{:.3f}".format,
    "signed": "{:+.3f}".format,
    "significant": lambda value: f"{value:,.0f}" if value >= 1000 else f"{value:.3g}",
    "percent": "{:.0%}".format,
}
"""What the page's templates can write numbers with."""


def usual_language() -> str:
    """The language that the environment asks for, where it is one of ours; else English."""
    wanted = [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    wanted.append(locale.getlocale()[0] or "")
    first = next((name for name in wanted if name), "")
    return "zh" if first.lower().startswith(("zh", "chinese")) else "en"
