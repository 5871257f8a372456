"""Language conversion, the `-{…}-` of wikis written in two scripts: of several forms the wanted one is shown.

The rules are those of MediaWiki's LanguageConverter: flags before the first `|`, forms `zh-hans:…;zh-hant:…` and
one-way forms `from=>zh-cn:to`, the variants falling back on one another.
"""

import re

_FALLBACKS = {
    "zh-hans": ("zh-cn", "zh-sg", "zh-my"),
    "zh-hant": ("zh-tw", "zh-hk", "zh-mo"),
    "zh-cn": ("zh-hans", "zh-sg", "zh-my"),
    "zh-tw": ("zh-hant", "zh-hk", "zh-mo"),
    "zh-hk": ("zh-hant", "zh-mo", "zh-tw"),
}
_NAMES = {
    "zh": "中文", "zh-hans": "简体", "zh-hant": "繁體", "zh-cn": "大陆", "zh-tw": "臺灣", "zh-hk": "香港", "zh-mo": "澳門",
    "zh-sg": "新加坡", "zh-my": "大马",
}  # fmt: skip
_WIKIS = ("", "zh", "gan", "wuu", "lzh", "sr", "sh", "kk", "ku", "iu", "crh", "tg", "uz", "shi", "ban", "tly")
_VARIANT = r"(?:zh|gan|wuu|sr|sh|kk|ku|iu|crh|tg|uz|shi|ban|tly|ike|hans?|hant)(?:-[a-z]+)*"
_RULE = re.compile(r"-\{([^{}]*)\}-")  # without another rule or a template in it
_FORM_END = re.compile(rf";(?=\s*{_VARIANT}\s*:|[^;]*=>|\s*$)", re.IGNORECASE)
_FORM = re.compile(rf"\s*(?:(?P<origin>.*?)=>\s*)?(?P<variant>{_VARIANT})\s*:(?P<text>.*)", re.IGNORECASE | re.DOTALL)
_FLAG = re.compile(rf"\s*(?:[A-Z+-]|{_VARIANT})?\s*", re.IGNORECASE)
DEEPEST = 10  # MediaWiki's own limit is as low


def converts(language: str) -> bool:
    """Whether a wiki of `language` has conversion rules: elsewhere `-{` is text. An unknown wiki may have them."""
    return language.partition("-")[0] in _WIKIS


def choose_variants(text: str, variant: str) -> str:
    """`text` with every rule replaced by what a reader of `variant` sees; inner rules first."""
    for _ in range(DEEPEST):
        if "-{" not in text:
            break
        shown = _RULE.sub(lambda rule: _shown(rule[1], variant), text)
        if shown == text:
            break
        text = shown
    return text


def _shown(content: str, variant: str) -> str:
    before, bar, rest = content.partition("|")
    parts = before.split(";")
    if bar and all(_FLAG.fullmatch(part) for part in parts):
        flags, rule = {part.strip() for part in parts} - {""}, rest
    else:
        flags, rule = set(), content
    letters = {flag.upper() for flag in flags if len(flag) == 1}
    if "R" in letters or flags - {flag for flag in flags if len(flag) == 1}:
        return rule  # not to be converted, or for some variants only: its text as it stands
    if "N" in letters:
        return _NAMES.get(rule.strip().lower(), rule)
    forms = _forms(rule)
    if letters & set("D"):
        return "；".join(f"{_NAMES.get(name, name)}：{text}" for name, (text, _) in forms.items())
    if letters & set("HT-"):
        return ""  # defined for the rest of the page, or for its title
    return _chosen(forms, variant) if forms else rule


def _forms(rule: str) -> dict[str, tuple[str, bool]]:
    """The text of each variant, and whether it is one-way. Empty where this is no rule: then all of it is text."""
    forms: dict[str, tuple[str, bool]] = {}
    for part in _FORM_END.split(rule):
        if not part.strip():
            continue
        form = _FORM.fullmatch(part)
        if form is None:
            return {}
        one_way = form["origin"] is not None
        if not one_way or form["variant"].lower() not in forms:
            forms[form["variant"].lower()] = form["text"].strip(), one_way
    return forms


def _chosen(forms: dict[str, tuple[str, bool]], variant: str) -> str:
    """The form of `variant`, else of the first it falls back on, else of its own one-way form, else the first."""
    wanted = (variant, *_FALLBACKS.get(variant, ()), "zh")
    for one_way in (False, True):
        for name in wanted:
            if name in forms and forms[name][1] == one_way:
                return forms[name][0]
    return next(iter(forms.values()))[0]
