"""The numbers of a wiki: measures, dates and formatted values, written as the wiki would show the value it was given.

`{{convert|5|km|mi}}` is `5 km`: the conversion is the wiki's arithmetic, the given value is the author's statement.
"""

import re

from .marks import HOLE, subscript, superscript

MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_RANGES = {
    "to": " to ", "-": "–", "–": "–", "and": " and ", "&": " and ", "or": " or ", "x": " × ", "×": " × ",
    "by": " by ",
    "*": " × ", "xx": " × ", "to(-)": " to ", "+/-": " ± ", "±": " ± ", "+-": " ± ", "and(-)": " and ",
    "to about": " to about ",
}  # fmt: skip
_UNITS = {
    "C": "°C", "F": "°F", "K": "K", "sqmi": "square miles", "sqft": "square feet", "sqyd": "square yards",
    "mi2": "square miles",
    "ft2": "square feet", "kph": "km/h", "cuft": "cubic feet", "cuyd": "cubic yards", "acre": "acres",
    "usgal": "US gallons",
    "impgal": "imperial gallons", "long ton": "long tons", "short ton": "short tons", "lb-f": "lbf",
    "mile": "miles",
    "foot": "feet", "inch": "inches", "pd/sqmi": "people per square mile", "/sqmi": "per square mile",
    "pd/km2": "people per km²", "/km2": "per km²", "inhabitants/km2": "inhabitants per km²",
}  # fmt: skip
_NUMBER = re.compile(r"^[\s~<>≈+−–-]*[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?(?:\s*[+/⁄ ]\s*\d+(?:\s*[/⁄]+\s*\d+)?)?\s*$")
_MINUS = str.maketrans("–-", "−−")
_LARGE = {"e3": "thousand ", "e6": "million ", "e9": "billion ", "e12": "trillion "}


def measure(values: list[str], named: dict[str, str]) -> str:
    """The given value of `{{convert}}`: a number, a range, or parts such as `5|ft|8|in`."""
    if not values:
        return ""
    values = [group_digits(value) if value.isdigit() and not value.startswith("0") else value for value in values]
    text, rest = values[0], values[1:]
    while len(rest) >= 2 and rest[0].lower() in _RANGES and _NUMBER.match(rest[1]):
        text += _RANGES[rest[0].lower()] + rest[1]
        rest = rest[2:]
    if rest:
        text = _with_unit(text, rest[0])
        rest = rest[1:]
    while len(rest) >= 2 and _NUMBER.match(rest[0]) and not rest[1].isdigit():
        text += " " + _with_unit(rest[0], rest[1])
        rest = rest[2:]
    if named.get("adj") in ("mid", "pre") and rest and not _NUMBER.match(rest[-1]):
        text += rest[-1] if rest[-1].startswith("-") else f" {rest[-1]}"
    return re.sub(r"(?<=\d)\+(?=\d+/)", " ", text)


def _with_unit(value: str, unit: str) -> str:
    factor = re.match(r"e(?:3|6|9|12)(?=\D)", unit)
    large = _LARGE[factor[0]] if factor else ""
    unit = unit[factor.end() :] if factor else unit
    shown = _UNITS.get(unit) or _UNITS.get(unit.lower()) or re.sub(r"(?<=[a-z])([23])\b", _raise_digit, unit)
    if value.strip() == "1" and not large:
        shown = {"acres": "acre", "miles": "mile", "feet": "foot", "inches": "inch"}.get(shown, shown)
    return f"{value} {large}{shown}"


def _raise_digit(match: re.Match[str]) -> str:
    return {"2": "²", "3": "³"}[match[1]]


def date(values: list[str], named: dict[str, str]) -> str:
    """`1809|2|12` as `February 12, 1809`, or `12 February 1809` where the page asks for the day first."""
    parts = [value for value in values[:3] if value]
    if not parts or not all(part.isdigit() for part in parts):
        return values[0] if values else ""
    year = parts[0].lstrip("0") or "0"
    if len(parts) == 1 or not 1 <= int(parts[1]) <= 12:
        return year
    month = MONTHS[int(parts[1]) - 1]
    if len(parts) == 2:
        return f"{month} {year}"
    day = str(int(parts[2]))
    return f"{day} {month} {year}" if named.get("df", "")[:1] == "y" else f"{month} {day}, {year}"


def as_of(values: list[str], named: dict[str, str]) -> str:
    """`{{as of|2014|5}}`: `As of May 2014`."""
    if named.get("alt"):
        return named["alt"]
    word = "Since" if named.get("since") else "As of"
    day_first = {**named, "df": "no" if named.get("df", "")[:1] == "u" else "y"}
    return f"{word.lower() if named.get('lc') else word} {date(values, day_first)}"


def group_digits(number: str) -> str:
    """`12345.6` as `12,345.6`; what isn't a plain number stays."""
    match = re.fullmatch(r"\s*([+−-]?)(\d+)(\.\d+)?\s*", number)
    return f"{match[1]}{int(match[2]):,}{match[3] or ''}" if match else number.strip()


def fraction(values: list[str], named: dict[str, str]) -> str:
    """`2` is one half, `3|2` three halves, `1|2|3` one and two thirds."""
    *whole, top, bottom = values if len(values) > 1 else ["1", *values]
    if top.isdigit() and bottom.isdigit():  # raised and lowered digits, so that `1{{frac|1|4}}` is not read as 11/4
        return f"{whole[0] if whole else ''}{superscript(top)}⁄{subscript(bottom)}"
    return " ".join([*whole, "/".join(f"({part})" if " " in part else part for part in (top, bottom))])


def value(values: list[str], named: dict[str, str]) -> str:
    """`{{val|1.23|0.02|e=5|u=kg}}`: a number with its uncertainty, power of ten and unit."""
    if not values:
        return ""
    text = values[0]
    if len(values) == 2:
        text += values[1] if values[1].startswith("(") else f" ± {values[1]}"
    elif len(values) > 2:
        text += f" +{values[1].lstrip('+')}/−{values[2].lstrip('-−')}"
    if named.get("e"):
        text += power_of_ten([named["e"]], {})
    unit = named.get("u") or named.get("ul") or ""
    return named.get("p", "") + (f"{text} {unit}" if unit not in ("", "%") else text + unit) + named.get("s", "")


def power_of_ten(values: list[str], named: dict[str, str]) -> str:
    """`{{e|24}}`: ×10²⁴."""
    return f"×10{superscript(values[0])}" if values else ""


def chemical(values: list[str], named: dict[str, str]) -> str:
    """`{{chem|H|2|O}}`: H₂O; a charge such as `2-` is raised."""
    parts = []
    for part in values:
        if re.fullmatch(r"\d*[+−–-]", part):
            parts.append(superscript(part.translate(_MINUS)))
        elif part[:1].isdigit():
            parts.append(subscript(part))
        else:
            parts.append(part)
    return "".join(parts)


def compact_chemical(values: list[str], named: dict[str, str]) -> str:
    """`{{chem2|Fe2(SO4)3}}`: Fe₂(SO₄)₃; a charge stands in brackets, `SO4(2-)`, or at the end, `Na+`."""
    text = values[0] if values else ""
    text = re.sub(r"(?<=[A-Za-z)\]])(\d+)", lambda match: subscript(match[1]), text)
    charge = r"\((\d*[+−–-])\)|(?<=\S)([+−-])(?=\s|$)"
    return re.sub(charge, lambda match: superscript((match[1] or match[2]).translate(_MINUS)), text)


def coordinates(values: list[str], named: dict[str, str]) -> str:
    """`{{coord|51|30|N|0|7|W}}`: 51°30′N 0°7′W; without words where it is shown beside the page's title only."""
    display = named.get("display", "inline")
    if "i" not in display.replace("title", "t"):
        return HOLE
    text = "|".join(values)
    sides = re.match(r"([\d.|]+)\|([NS])\|([\d.|]+)\|([EW])(?:\||$)", text)
    if sides:
        return " ".join(_angle(sides[place].split("|")) + sides[place + 1] for place in (1, 3))
    numbers = re.match(r"([+−-]?)([\d.]+)\|([+−-]?)([\d.]+)(?:\||$)", text)
    if numbers is None:
        return HOLE
    north, east = ("S" if numbers[1] in ("−", "-") else "N"), ("W" if numbers[3] in ("−", "-") else "E")
    return f"{numbers[2]}°{north} {numbers[4]}°{east}"


def _angle(parts: list[str]) -> str:
    """Degrees, minutes and seconds, as many as there are."""
    return "".join(f"{part}{sign}" for part, sign in zip(parts, "°′″"))
