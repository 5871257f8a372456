"""The words of inline templates: what a reader would see of `{{lang|la|cogito}}`, `{{convert|5|km}}` or `{{snd}}`.

A template that isn't here has no words of its own: boxes, navigation, maintenance notes, pronunciations. A new one is
a new line in a table below.
"""

import re
from collections.abc import Callable

from . import chinese, countries, infobox, units
from .arguments import Arguments, Words
from .marks import COMPUTED, subscript, superscript
from .options import Options


def words_of(name: str, arguments: Arguments, options: Options) -> str | None:
    """The words that the template called `name` shows, or None where it shows none."""
    if name.strip() in countries.NAMES:  # in capitals only: `{{est}}` may be a time zone
        return countries.NAMES[name.strip()][options.chinese]
    name = re.sub(r"[\s_]+", " ", name).strip().lower()
    function, colon, first = name.partition(":")
    if colon and function in _PARSER_FUNCTIONS:
        return _PARSER_FUNCTIONS[function](first)
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if name.startswith(("lang-", "rtl-lang-")) and name not in _WORDS:
        code = name.removeprefix("rtl-").removeprefix("lang-")
        values, named = arguments.read()
        return chinese.language(code, values, named) if options.chinese else _in_language(code, values)
    if options.keep_infoboxes and infobox.is_infobox(name):
        return infobox.rows(*arguments.read())
    words = (chinese.WORDS.get(name) if options.chinese else None) or _WORDS.get(name)
    return None if words is None else words(*arguments.read())


_LANGUAGES = dict(
    pair.split("=")
    for pair in (  # noqa: SIM905
        "af=Afrikaans ar=Arabic az=Azerbaijani be=Belarusian ber=Berber bg=Bulgarian bn=Bengali ca=Catalan cs=Czech "
        "cu=Slavonic cy=Welsh da=Danish de=German el=Greek en=English es=Spanish et=Estonian eu=Basque fa=Persian "
        "fi=Finnish fr=French ga=Irish gd=Gaelic gl=Galician grc=Greek he=Hebrew hi=Hindi hr=Croatian hu=Hungarian "
        "hy=Armenian id=Indonesian is=Icelandic it=Italian ja=Japanese ka=Georgian kk=Kazakh ko=Korean ku=Kurdish "
        "la=Latin lt=Lithuanian lv=Latvian mk=Macedonian mn=Mongolian ms=Malay mt=Maltese nl=Dutch no=Norwegian "
        "oc=Occitan pl=Polish ps=Pashto pt=Portuguese ro=Romanian ru=Russian sa=Sanskrit sk=Slovak sl=Slovene "
        "sq=Albanian sr=Serbian sv=Swedish sw=Swahili syr=Syriac ta=Tamil th=Thai tr=Turkish uk=Ukrainian ur=Urdu "
        "uz=Uzbek vi=Vietnamese yi=Yiddish zh=Chinese"
    ).split()
)


def _in_language(code: str, values: list[str]) -> str:
    """`Greek: Φοῖβος, Phoibos`; without the language's name where it isn't known."""
    name = _LANGUAGES.get(code) or _LANGUAGES.get(code.partition("-")[0])
    text = ", ".join(value for value in values[:2] if value)
    return f"{name}: {text}" if name and text else text


def _first(values: list[str], named: dict[str, str]) -> str:
    return values[0] if values else ""


def _last(values: list[str], named: dict[str, str]) -> str:
    return next((value for value in reversed(values) if value), "")


def _second(values: list[str], named: dict[str, str]) -> str:
    return values[1] if len(values) > 1 else _first(values, named)


def _joined(separator: str) -> Words:
    return lambda values, named: separator.join(value for value in values if value)


def _around(before: str, after: str = "") -> Words:
    return lambda values, named: f"{before}{values[0]}{after}" if values and values[0] else ""


def _country(values: list[str], named: dict[str, str]) -> str:
    return countries.named(_text_or_first(values, named), chinese=False)


def _years(before: str, between: str) -> Words:
    """One year or two: `r. 1558–1603`."""
    return lambda values, named: before + between.join(filter(None, values[:2])) if any(values[:2]) else ""


def _minor_planet(values: list[str], named: dict[str, str]) -> str:
    """`{{mp|1999 RQ|36}}`: 1999 RQ₃₆."""
    return _first(values, named) + "".join(subscript(value) for value in values[1:2])


def _text_or_first(values: list[str], named: dict[str, str]) -> str:
    return named.get("text") or _first(values, named)


def _list(values: list[str], named: dict[str, str]) -> str:
    items = [value for value in values if value]
    if len(items) == 1 and items[0].startswith(("*", "#")):
        return f"\n{items[0]}\n"
    return "\n" + "\n".join(f"* {item}" for item in items) + "\n" if items else ""


def _columns(values: list[str], named: dict[str, str]) -> str:
    columns = [text for key, text in named.items() if re.fullmatch(r"col\d+|content", key)]
    return "\n" + "\n".join([*columns, _last(values, named)]) + "\n"


def _quote(values: list[str], named: dict[str, str]) -> str:
    positional = [*values, "", "", ""]
    text = named.get("text") or named.get("quote") or named.get("content") or positional[0]
    author = named.get("author") or named.get("sign") or named.get("by") or positional[1]
    source = named.get("source") or named.get("title") or positional[2]
    credit = ", ".join(part for part in (author, source) if part)
    return "\n" + "\n".join(part for part in (text, f"— {credit}" if credit else "") if part) + "\n"


def _nihongo(values: list[str], named: dict[str, str]) -> str:
    english, *others = [*values, ""]
    original = ", ".join(value for value in others if value)
    if not english:
        return original
    return f"{english} ({original})" if original else english


def _chinese(values: list[str], named: dict[str, str]) -> str:
    labels = (("c", "Chinese"), ("s", "simplified Chinese"), ("t", "traditional Chinese"), ("p", "pinyin"),
              ("w", "Wade–Giles"), ("j", "Jyutping"), ("l", "literally"))  # fmt: skip
    shown = [f"{label}: {named[key]}" for key, label in labels if named.get(key)]
    return "; ".join(shown) or _in_language("zh", values)


def _interwiki(values: list[str], named: dict[str, str]) -> str:
    """`{{ill|Name|de}}`, or in the old order `{{ill|de|Name}}`."""
    if named.get("lt"):
        return named["lt"]
    old_order = len(values) > 1 and re.fullmatch(r"[a-z]{2,3}", values[0])
    return values[1] if old_order else _first(values, named)


def _inflated(values: list[str], named: dict[str, str]) -> str:
    """The sum before inflation: today's is the wiki's to compute, and words in brackets about it go."""
    return COMPUTED + units.group_digits(values[1]) if len(values) > 1 else ""


def _number(values: list[str], named: dict[str, str]) -> str:
    """A number with its digits grouped; a computed one stays marked as such."""
    text = _first(values, named)
    mark = COMPUTED if COMPUTED in text else ""
    return mark + units.group_digits(text.replace(COMPUTED, ""))


def _citation(values: list[str], named: dict[str, str]) -> str:
    """`Smith (2001)`: an author named in the sentence."""
    return f"{values[0]} ({', '.join(values[1:])})" if len(values) > 1 else _first(values, named)


def _old_style_date(values: list[str], named: dict[str, str]) -> str:
    """`{{OldStyleDate|February 2|1905|January 20}}`: the day in today's calendar, and in the one of its time."""
    day, year, old = (*values, "", "", "")[:3]
    return " ".join(part for part in (day, old and f"[O.S. {old}]", year) if part)


def _ship(prefix: str) -> Words:
    return lambda values, named: f"{prefix} {values[0]}".strip() if values else ""


def _ship_with_prefix(values: list[str], named: dict[str, str]) -> str:
    return " ".join(value for value in values[:2] if value)


def _gauge(values: list[str], named: dict[str, str]) -> str:
    """`1435mm` as `1435 mm`."""
    return re.sub(r"(?<=\d)(?=mm$)", " ", _first(values, named))


def _subscript_and_superscript(values: list[str], named: dict[str, str]) -> str:
    parts = [*values, "", ""]
    return superscript(named.get("p") or parts[0]) + subscript(named.get("b") or parts[1])


def _nuclide(values: list[str], named: dict[str, str]) -> str:
    return "-".join(value for value in values[:2] if value)


def _music(values: list[str], named: dict[str, str]) -> str:
    return {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮", "n": "♮"}.get(_first(values, named).lower(), "")


def _under_names(words: Words, names: str) -> dict[str, Words]:
    return dict.fromkeys(names.split("|"), words)


_WORDS: dict[str, Words] = {
    **_under_names(
        _text_or_first,
            "nowrap|nobr|nobreak|j|small|smaller|smalldiv|large|larger|big|huge|abbr|tooltip|vanchor|"
            "visible anchor|sc|sc1|smallcaps|"
            "nobold|normal|noitalic|nocaps|mono|code|kbd|key|var|mvar|math|bigmath|em|strong|"
            "noflag|country|"
        "center|centre|longitem|sic|not a typo|typo|proper name|strikethrough|overline|underline|vr|as written|"
            "block indent|indent|poem|poemquote|ruby|color box text|pipe link|plain link|larger font|"
            "sub-title|currency|height|unicode|iast|dfn|vern|not typo|flagathlete|flagiocathlete|flagmedalist",
    ),
    **_under_names(_country, "flag|flagu|flagcountry|flagioc|fb"),
    **_under_names(_second,
        "resize|font|font color|color|colour|hover title|lang|rtl-lang|script|native name|native phrase|"
        "nativename|wikt-lang|numblk"),
    **_under_names(_last,
        "transl|transliteration|translit|nastaliq|ublc|script/hebrew|script/arabic|script/nastaliq|"
        "script/greek"),
    **_under_names(_joined(""), "linktext|gaps|digits"),
    **_under_names(_joined("+"), "keypress|key press|key top"),
    **_under_names(_joined(" · "), "hlist|flatlist|flat list"),
    **_under_names(_list,
        "plainlist|plain list|unbulleted list|ubl|vunblist|bulleted list|ordered list|collapsible list"),
    **_under_names(_columns, "columns-list|columns|col-list|div col content|multicol content"),
    **_under_names(
        _quote,
            "quote|quotation|cquote|bquote|blockquote|quote box|quotebox|rquote|centered quote|"
            "block quote|pull quote|quote frame|pquote",
    ),
    **_under_names(_nihongo, "nihongo|nihongo2|nihongo3|korean|vietnamese"),
    **_under_names(_chinese, "zh|zh-full|lang-zh|chinese"),
    **_under_names(_interwiki, "ill|interlanguage link|link-interwiki|ill2|interlanguage link multi"),
    **_under_names(_inflated, "inflation"),
    **_under_names(_number, "nts|number table sorting|formatnum|format price|formatprice|rnd|round|val2"),
    **_under_names(units.measure, "convert|cvt|conv"),
    **_under_names(units.date,
        "birth date|birth-date|dob|bda|birth date and age|birth date and given age|death date|death-date|"
                       "death date and age|death date and given age|birth year and age|start date|"
                       "start-date|start date and age|"
                   "end date|end-date|film date|dts|date|release date|birth year|death year|death year and age"),
    **_under_names(units.as_of, "as of|asof|since"),
    **_under_names(units.fraction, "frac|sfrac|fraction|fracn|half"),
    **_under_names(units.value, "val"),
    **_under_names(units.power_of_ten, "e|e-sp"),
    **_under_names(units.chemical, "chem|chemf"), **_under_names(units.compact_chemical, "chem2"),
    **_under_names(units.coordinates, "coord|coor"),
    **_under_names(_joined(" "), "bibleverse|bible verse"),
    **_under_names(_nuclide, "simplenuclide|simplenuclide2|nuclide|nuclide2"),
    **_under_names(_music, "music"), **_under_names(_minor_planet, "mp"),
    **_under_names(_subscript_and_superscript, "su"),
    **_under_names(lambda values, named: superscript(_first(values, named)), "sup"),
    **_under_names(lambda values, named: subscript(_first(values, named)), "sub"),
    **_under_names(lambda values, named: _in_language(_first(values, named), values[1:]), "langx"),
    **_under_names(_citation, "harvtxt"),
    **_under_names(_old_style_date, "oldstyledate|old style date"),
    **_under_names(_around("⟨", "⟩"), "angbr|angle bracket|grapheme"),
    **_under_names(_around("$", "$"), "tmath"), **_under_names(_around("‘", "’"), "gloss"),
    **_under_names(_around("lit. ‘", "’"), "lit|lit.|literal translation|literally"),
    **_under_names(_years("c. ", " – c. "), "circa|c.|ca."), **_under_names(_years("fl. ", "–"), "floruit|fl."),
    **_under_names(_years("r. ", "–"), "reign|r."), **_under_names(_around("√"), "sqrt|radic"),
    **_under_names(_around("|", "|"), "abs|pipe abs"),
    **_under_names(_around("$"), "$|usd2"), **_under_names(_around("US$"), "us$|usd"),
    **_under_names(_around("A$"), "aud|a$"),
    **_under_names(_around("£"), "gbp|£|pound sterling"), **_under_names(_around("€"), "eur|euro|€"),
    **_under_names(_around("₹"), "inr|indian rupee"), **_under_names(_around("¥"), "jpy|cny|yen|¥"),
    **_under_names(_around("No. "), "numero|no.|number sign"), **_under_names(_around("", "%"), "percent|pct"),
    **{prefix: _ship(prefix.upper()) for prefix in ("uss", "hms", "ss", "rms", "hmas", "hmcs", "mv", "usns", "sms")},
    **_under_names(_ship_with_prefix, "ship|sclass|sclass2|sclass-"),
    **_under_names(_gauge, "railgauge|track gauge|rail gauge"),
}  # fmt: skip

_CONSTANTS = {
    "'": "'", "'s": "'s", "' \"": "' \"", "\" '": "\" '", "'\"": "'\"", "\"'": "\"'", "-'": "'", "'-": "'",
    "`": "`",
    "=": "=", "!": "|", "pipe": "|", "·": " · ", "•": " • ", "middot": " · ", "dot": " · ", "bull": " • ",
    "\\": " / ",
    "ndash": "–", "–": "–", "en dash": "–", "nsndns": "–", "mdash": "—", "—": "—", "em dash": "—", "mdashb": "—",
    "emdash": "—", "spaced ndash": " – ", "snd": " – ", "snds": " – ", "spnd": " – ", "spndash": " – ",
    "spaced en dash": " – ",
    "dash": " – ", "spaced mdash": " — ", "nbsp": " ", "nbhyph": "-", "thinsp": " ", "hairsp": " ",
    "spaces": " ", "space": " ",
    "zwsp": "", "wbr": "", "shy": "", "zwj": "\u200d", "zwnj": "\u200c", "nbnd": "–", "minus": "−",
    "eqm": "⇌", "times": "×",
    "pi": "π", "tau": "τ", "!!": "||", "(": "{{", ")": "}}", "*": "*", "colon": ":", "sharp": "♯",
    "flat": "♭", "natural": "♮",
    "degree": "°", "deg": "°", "ellipsis": "…", "...": "…", "ayin": "ʿ", "hamza": "ʾ", "okina": "ʻ",
    "'okina": "ʻ", "clear": "\n",
    "col-begin": "\n", "col-break": "\n", "col-end": "\n", "div col": "\n", "div col end": "\n",
    "colbegin": "\n", "colend": "\n",
    "break": "\n", "crlf": "\n", "pb": "\n", "paragraph break": "\n",
}  # fmt: skip

_CONSTANTS |= dict.fromkeys(
    ["age", "age in years", "age in days", "time ago", "years ago", "currentyear", "localyear"], COMPUTED
)
_CONSTANTS |= {"carbon": "C", "hydrogen": "H", "oxygen": "O", "nitrogen": "N"}  # the symbols, used within formulas

_PARSER_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "formatnum": lambda text: _number([text], {}),
    "lc": str.lower,
    "uc": str.upper,
    "lcfirst": lambda text: text[:1].lower() + text[1:],
    "ucfirst": lambda text: text[:1].upper() + text[1:],
}  # fmt: skip
